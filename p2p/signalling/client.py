"""A peer's standing connection to its rendezvous: reconnects by itself and loses nothing that was asked for."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import random
import ssl
import time
from collections.abc import AsyncIterator, Callable, Sequence
from types import TracebackType
from typing import Self

import aiohttp
from msgspec.structs import replace

from p2p.aio.tasks import TaskScope
from p2p.defaults import SIGNALLING_CONNECT_TIMEOUT_S, SIGNALLING_REQUEST_TIMEOUT_S, SIGNALLING_STABLE_S
from p2p.errors import LocalProtocolError, SignallingError
from p2p.identity import Identity, PeerId
from p2p.proto.signalling.messages import (
    BODY_MAX_BYTES,
    Draining,
    Error,
    KnockDelivery,
    Publish,
    Resolve,
    Resolved,
    SignalDelivery,
    SignalRequest,
    Unpublish,
    Welcome,
)
from p2p.signalling.backoff import Backoff
from p2p.signalling.callbacks import call, ignore
from p2p.signalling.dialer import Dialer, close_unused
from p2p.signalling.errors import (
    CODE_CONNECTION_LOST,
    CODE_NO_ANSWER,
    CODE_NOT_OPEN,
    CODE_TAKEN_OVER,
    LOGIN_REFUSALS,
    error_of_wire,
)
from p2p.signalling.http import http_session
from p2p.signalling.inbox import Inbox
from p2p.signalling.link import Answer, Link, Request, Unasked
from p2p.signalling.renewal import Renewal
from p2p.signalling.values import Resolution, SignallingState
from p2p.signalling.waiters import Waiters

logger = logging.getLogger(__name__)

__all__ = ["Resolution", "SignallingClient", "SignallingState"]


class SignallingClient:
    """A standing connection to the first rendezvous of a list that answers.

    A connection that ends is made again after a random wait of up to 0.25 s, doubling to 30 s while that fails. What
    was published is published again. Requests that were under way are sent again, which is harmless: a receiver drops
    the second copy of a sealed body. Relay credentials are renewed before they end.

    States: ``SignallingState``. Timers: connect, request, backoff, renewal (all in ``p2p.defaults``).

    Concurrency: one event loop; all methods may be called by any task. Callbacks run on the loop, one at a time, and
    must not block.

    Args:
        urls: Rendezvous URLs, the preferred one first.
        identity: Who logs in.
        instance: Which of the identity's programs this is; a login with the same one takes over from this one.
        token: Admission token, where the server wants one.
        ssl_context: For a private CA; None trusts the system's. Certificates are always verified by the default.
        agent: Program and version, for the server's log.
        now_wall: The Unix clock.
        random_share: Random numbers from 0 to 1, for the waits.

    Attributes:
        on_signal: Called with the sender, authenticated, its instance by the server's word, and the opened body of
            each signal.
        on_knock: Called with the sender, authenticated, the opened body of each knock, and the knock as delivered.
        on_state: Called with each new state.
        on_welcome: Called after each login and each renewal of relay credentials.
        last_error: Why the last attempt or connection failed, or None.

    Raises:
        ConfigError: A URL is not one, or there is none.
    """

    def __init__(
        self,
        urls: Sequence[str],
        identity: Identity,
        *,
        instance: str = "",
        token: str | None = None,
        ssl_context: ssl.SSLContext | None = None,
        agent: str = "",
        now_wall: Callable[[], float] = time.time,
        random_share: Callable[[], float] = random.random,
    ) -> None:
        self._dialer = Dialer(urls, identity, instance=instance, token=token, ssl_context=ssl_context, agent=agent)
        self._identity = identity
        self._now_wall = now_wall
        self._random_share = random_share
        self.on_signal: Callable[[PeerId, str, bytes], object] = ignore
        self.on_knock: Callable[[PeerId, bytes, KnockDelivery], object] = ignore
        self.on_state: Callable[[SignallingState], object] = ignore
        self.on_welcome: Callable[[Welcome], object] = ignore
        self.last_error: SignallingError | None = None
        self._state = SignallingState.CLOSED
        self._tasks = TaskScope()
        self._session: aiohttp.ClientSession | None = None
        self._link: Link | None = None
        self._dialing: asyncio.Task[Link | SignallingError] | None = None
        self._welcome: Welcome | None = None
        self._failure: SignallingError | None = None
        self._services: dict[str, bytes | None] = {}
        self._ids = itertools.count(1)
        self.renewal = Renewal(self._ids, self._take_welcome)
        self._waiters = Waiters()
        self._hurry = asyncio.Event()
        self._inbox = Inbox(identity, now_wall)
        self._backoff = Backoff(random_share)

    async def __aenter__(self) -> Self:
        self._session = http_session()
        await self._tasks.__aenter__()
        self._tasks.start(self._run(self._session), name="signalling")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._fail(SignallingError("the client was closed", code=CODE_NOT_OPEN), SignallingState.CLOSED)
        try:
            if self._link is not None:
                await self._link.leave()
        finally:
            try:
                # What the block raised is not told to the scope, which would wrap it in a group.
                await self._tasks.__aexit__(None, None, None)
                await close_unused(self._dialing)
            finally:
                if self._session is not None:
                    await self._session.close()

    @property
    def state(self) -> SignallingState:
        """What the client is doing."""
        return self._state

    @property
    def connected(self) -> bool:
        """Whether the client is logged in."""
        return self._state is SignallingState.CONNECTED

    @property
    def url(self) -> str | None:
        """The server that the client is logged in at, or None."""
        return str(self._link.url) if self._link is not None else None

    @property
    def local_host(self) -> str | None:
        """The IP address of ours that the connection has, or None."""
        return self._link.local_host if self._link is not None else None

    @property
    def connecting_s(self) -> float:
        """How long the present connection took until the login: two round trips at least; 0 without one."""
        return self._link.connecting_s if self._link is not None else 0.0

    @property
    def dropped_signals(self) -> int:
        """How many signals were not for us, stale, forged or repeated."""
        return self._inbox.dropped

    async def welcome(self) -> Welcome:
        """Wait for the login, as long as it takes; after that, the latest welcome.

        Raises:
            SignallingError: The login was refused, or another one took over.
        """
        await self._ready()
        assert self._welcome is not None, "a link has a welcome"
        return self._welcome

    async def publish(self, service: str, *, bell: bytes | None = None) -> None:
        """Put a service on offer, now and after every reconnect.

        Args:
            service: Its name.
            bell: The key of those who may knock; None for nobody.

        Raises:
            SignallingError: The server refused it; then it is not on offer. Or no server answered in time; then it
                will be on offer as soon as one does.
        """
        self._services[service] = bell
        try:
            await self._request(lambda request_id: Publish(id=request_id, service=service, bell=bell))
        except SignallingError as error:
            if not error.retryable:
                self._services.pop(service, None)
            raise

    async def unpublish(self, service: str) -> None:
        """Withdraw a service.

        Raises:
            SignallingError: No server answered in time; the service is off with the next connection.
        """
        self._services.pop(service, None)
        await self._request(lambda request_id: Unpublish(id=request_id, service=service))

    async def resolve(self, peer_id: PeerId, service: str, *, instance: str = "") -> Resolution:
        """Ask whether a peer is there and offers a service.

        Raises:
            SignallingError: The server refused to say, or none answered in time.
        """
        answer = await self._request(
            lambda request_id: Resolve(id=request_id, peer=str(peer_id), service=service, instance=instance),
        )
        if not isinstance(answer, Resolved):
            raise SignallingError("the server gave an answer to another question", code=CODE_NO_ANSWER)
        return Resolution(answer.online, answer.published)

    async def send(
        self, peer_id: PeerId, body: bytes, *, instance: str = "", knock: bytes | None = None, confirm: bool = True
    ) -> None:
        """Seal a body and send it to a peer. Bodies to one peer arrive in the order of the calls.

        Args:
            peer_id: The receiver.
            body: Anything, up to about 11 KiB.
            instance: Which of the receiver's programs.
            knock: The knock that it answers, whose maker may not have logged in yet.
            confirm: Wait until the server has passed it on, one round trip. Without, only the log
                tells when it could not.

        Raises:
            SignallingError: The peer is offline (``CODE_PEER_OFFLINE``), or no server answered in time.
            IdentityError: The peer id is no usable key.
            LocalProtocolError: The body is too long.
        """
        sealed = self._identity.seal(peer_id, body, now_wall=self._now_wall())
        if len(sealed) > BODY_MAX_BYTES:
            raise LocalProtocolError(f"a signal body of {len(body)} bytes does not fit a message")
        request = SignalRequest(to=str(peer_id), body=sealed, instance=instance, knock=knock)
        if confirm:
            await self._request(lambda request_id: replace(request, id=request_id))
            return
        async with self._deadline():
            link = await self._ready()
            await link.send(request)

    def reconnect(self) -> None:
        """Make the connection anew at once, because the network has changed under it."""
        self._hurry.set()
        if self._link is not None:
            self._tasks.start(self._link.close(), name="signalling reconnect")
        elif self._dialing is not None:
            # What it has sent so far left from an address that may be gone.
            self._dialing.cancel()

    async def _run(self, session: aiohttp.ClientSession) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._set_state(SignallingState.CONNECTING)
            link = await self._connect(session)
            if self._is_over():
                return
            if link is not None:
                since = loop.time()
                self.last_error = await self._serve(link)
                logger.info("signalling with %s ended: %s", link.url.authority, self.last_error)
                if self._is_over():
                    return
                is_own_doing = link.has_rival and loop.time() - since < SIGNALLING_CONNECT_TIMEOUT_S
                if self.last_error.error_code is CODE_TAKEN_OVER and not is_own_doing:
                    self._fail(self.last_error, SignallingState.FAILED)
                    return
                if loop.time() - since >= SIGNALLING_STABLE_S:
                    self._backoff.reset()
            self._set_state(SignallingState.WAITING)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._backoff.next_wait_s()):
                    await self._hurry.wait()
            self._hurry.clear()

    async def _connect(self, session: aiohttp.ClientSession) -> Link | None:
        self._dialing = self._tasks.start(self._dialer.dial(session), name="signalling dial")
        await asyncio.wait((self._dialing,))
        dialed = None if self._dialing.cancelled() else self._dialing.result()
        if not isinstance(dialed, SignallingError):
            return dialed
        self.last_error = dialed
        # A mistyped token is told now; a client that was welcome once waits for the operator's second thoughts.
        if self._welcome is None and dialed.error_code in LOGIN_REFUSALS:
            self._fail(dialed, SignallingState.FAILED)
        return None

    def _is_over(self) -> bool:
        """Whether nothing more is to be tried: the client failed for good, or its block ends."""
        return self._failure is not None

    async def _serve(self, link: Link) -> SignallingError:
        renewal = self._tasks.start(self.renewal.run(link), name="signalling renewal")
        try:
            for service, bell in sorted(self._services.items()):
                await link.send(Publish(id=next(self._ids), service=service, bell=bell))
            self._link = link
            self._take_welcome(link.welcome)
            self._set_state(SignallingState.CONNECTED)
            self._waiters.wake()
            return await link.serve(self._take_unasked)
        except SignallingError as error:
            return error
        finally:
            self._link = None
            renewal.cancel()
            # Not awaited: on a dead network the farewell would hold the next connection up. When the scope has ended
            # there is nobody to do it, and no need: the connection has said goodbye already.
            with contextlib.suppress(LocalProtocolError):
                self._tasks.start(link.close(), name="signalling close")

    async def _request(self, make: Callable[[int], Request]) -> Answer:
        async with self._deadline():
            while True:
                link = await self._ready()
                try:
                    return await link.request(make(next(self._ids)))
                except SignallingError as error:
                    if error.error_code is not CODE_CONNECTION_LOST:
                        raise

    @contextlib.asynccontextmanager
    async def _deadline(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(SIGNALLING_REQUEST_TIMEOUT_S):
                yield
        except TimeoutError as error:
            raise SignallingError(
                f"no answer from the rendezvous within {SIGNALLING_REQUEST_TIMEOUT_S:g} s", code=CODE_NO_ANSWER
            ) from (self.last_error or error)

    async def _ready(self) -> Link:
        while True:
            if self._failure is not None:
                raise self._failure
            if self._session is None:
                raise SignallingError("the client was not opened", code=CODE_NOT_OPEN)
            if self._link is not None and not self._link.is_closed:
                return self._link
            await self._waiters.wait()

    def _take_welcome(self, welcome: Welcome) -> None:
        self._welcome = welcome
        call(self.on_welcome, welcome)

    def _take_unasked(self, message: Unasked) -> None:
        if isinstance(message, (SignalDelivery, KnockDelivery)):
            opened = self._inbox.open(message)
            if opened is None:
                return
            if isinstance(message, KnockDelivery):
                call(self.on_knock, opened.sender, opened.body, message)
            else:
                call(self.on_signal, opened.sender, message.instance, opened.body)
        elif isinstance(message, Error):
            self.last_error = error_of_wire(message.code, message.detail)
            # A peer that has left before the last word to it is nothing to worry about.
            logger.log(logging.WARNING if message.to is None else logging.INFO, "%s", self.last_error)
        elif self._dialer.has_choice:
            # With one server only there is nowhere to go; it will close when it must.
            self._tasks.start(self._move(message), name="signalling move")

    async def _move(self, draining: Draining) -> None:
        link = self._link
        await asyncio.sleep(draining.within_s * self._random_share())
        if link is not None and link is self._link:
            self._dialer.prefer_next()
            self.reconnect()

    def _set_state(self, state: SignallingState) -> None:
        if state is not self._state:
            self._state = state
            call(self.on_state, state)

    def _fail(self, failure: SignallingError, state: SignallingState) -> None:
        if self._failure is None:
            self._failure = failure
        self._set_state(state)
        self._waiters.wake()
