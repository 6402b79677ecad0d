"""The connecting side: opens the session a ticket is for, listens locally, and comes back when the session is lost."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Self

from p2p.defaults import DIAL_BACKOFF_MAX_S, DIAL_BACKOFF_MIN_S
from p2p.errors import ConfigError, ForwardError, P2PError
from p2p.forward.compression import Compression
from p2p.forward.listeners import Listeners
from p2p.forward.stdio import StdioFlow
from p2p.forward.target import ServiceDialer
from p2p.forward.throttle import Throttles
from p2p.identity import Identity, PeerId, Ticket
from p2p.proto.signalling.bodies import PeerBody
from p2p.proto.tunnel.control import Role
from p2p.quic.engine import EngineConfig
from p2p.session.backoff import wait_after_s
from p2p.session.describe import path_fields, short_id
from p2p.session.dialing import Dial, new_session_id
from p2p.session.events import Connected, Event, Listening, Report
from p2p.session.lan import call_at, direct_signalling, look_on_lan
from p2p.session.meeting import CODE_NO_RENDEZVOUS
from p2p.session.node import Node
from p2p.session.offered import free_places, introduction, missing_service
from p2p.session.options import ConnectOptions, PeerOptions, RelayPolicy
from p2p.session.peer_session import PeerSession
from p2p.session.program import Program
from p2p.session.reverse import unwanted
from p2p.session.status import Status
from p2p.target import Target

logger = logging.getLogger(__name__)


class Connector(Program):
    """Reaches one exposed service, and keeps reaching it for as long as it runs.

    Args:
        options: Which service, and how local programs get to it.
        peer: Who we are and where we meet.
        on_event: Told what happens.

    Raises:
        IdentityError: The ticket cannot be read, or has expired.
        ConfigError: The ticket names no rendezvous, and the peers must not learn each other's addresses.
    """

    role = "connect"

    def __init__(self, options: ConnectOptions, peer: PeerOptions, *, on_event: Callable[[Event], None]) -> None:
        super().__init__(peer, on_event)
        self.options = options
        self.ticket = Ticket.parse(options.ticket)
        self.ticket.check_expiry(now_wall=time.time())
        # An exposer that is at a rendezvous names it.
        self._urls = (peer.rendezvous_urls or self.ticket.rendezvous_urls) if self.ticket.rendezvous_urls else ()
        if not self._urls and peer.relay_policy is RelayPolicy.ONLY:
            raise ConfigError("the ticket names no rendezvous", code=CODE_NO_RENDEZVOUS)
        self._listeners: Listeners | None = None
        self._throttles: Throttles | None = None
        self._flow_error: ForwardError | None = None
        self._dials: dict[str, Dial] = {}
        self._lost: dict[str, asyncio.Future[P2PError]] = {}
        self._compression = Compression() if options.compress else None
        self._below = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            if self._compression is not None:
                await stack.enter_async_context(self._compression)
            await super().__aenter__()
            self._below = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await super().__aexit__(kind, error, traceback)
        finally:
            # What sessions deliver at their end passes here.
            await self._below.aclose()

    def make_node(self) -> Node:
        """See ``Program``."""
        identity = Identity.load_or_create(self.peer_options.identity_path)
        instance = f"connect-{new_session_id()[:16]}"
        node = Node(
            self.peer_options,
            identity,
            self._urls,
            instance=instance,
            wants_relay=self.peer_options.relay_policy is RelayPolicy.ONLY,
            on_signal=self.signal_received,
            direct=direct_signalling(
                self.ticket, identity, self.peer_options.relay_policy, instance=instance, is_dialer=True
            ),
        )
        if not self._urls:
            named = self.ticket.direct_addresses
            node.is_local = bool(named) and all(address.ip.is_loopback for address in named)
        return node

    @property
    def status(self) -> Status:
        """The present state."""
        target = "standard input and output" if self.options.stdio else str(self._listeners or "")
        return replace(self.base_status(), service=self.ticket.service, name=self.ticket.service, target=target)

    @property
    def datagrams_dropped(self) -> int:
        """See ``Program``."""
        return 0 if self._listeners is None else self._listeners.datagrams_dropped

    async def run_until(self, stop: asyncio.Event) -> Report:
        """Connect, and forward until ``stop`` is set or, with ``stdio``, the one connection has ended.

        Returns:
            What happened.

        Raises:
            P2PError: The session cannot be opened, and waiting will not help.
            ForwardError: With ``stdio``: the exposing side could not connect to its service.
        """
        return await self.run_beside(stop, self._run_stdio() if self.options.stdio else self._run_listener())

    async def open_session(self, timeout_s: float) -> PeerSession:
        """Open a session, once.

        Args:
            timeout_s: How long it may take, signalling included.

        Raises:
            P2PError: It cannot be opened.
        """
        call_at(self.node, self.ticket.direct_addresses)
        if self.options.lan or not self.ticket.rendezvous_urls:
            # Who meets at a rendezvous does not tell every network what he looks for.
            self.node.signalling.look = partial(look_on_lan, self.node, self.ticket)
        dial = self._new_dial()
        dial.knock()
        try:
            if not self.node.signalling.can_call(self.ticket.peer_id, self.ticket.service):
                await self.reach_rendezvous()
                if dial.is_stale:
                    self._give_up(dial)
                    dial = self._new_dial()
            relaying = self._scope.start(dial.get_relay_if_needed(), name="relay if needed")
            try:
                await dial.run(timeout_s)
            except BaseException:
                relaying.cancel()
                raise
        except BaseException:
            dial.session.close()
            raise
        finally:
            self._dials.pop(dial.session.session_id, None)
        return dial.session

    def _new_dial(self) -> Dial:
        engine_connection = self.node.engine.client(EngineConfig())
        session = PeerSession(
            self.node,
            new_session_id(),
            self.ticket.peer_id,
            self.ticket.service,
            Role.DIALER,
            engine_connection,
            self,
            pool=self.pool,
        )
        if self.options.limits:
            if self._throttles is None:
                self._throttles = Throttles(asyncio.get_running_loop(), self.options.limits)
            session.multiplexer.throttle(self._throttles)
        if self.options.reverse:
            session.multiplexer.acceptor = ServiceDialer(self.options.reverse, asyncio.get_running_loop())
        dial = Dial(self.node, self.ticket, session, introduction(self.options.reverse))
        self.add_session(session)
        self._dials[session.session_id] = dial
        self._lost[session.session_id] = asyncio.get_running_loop().create_future()
        return dial

    def _give_up(self, dial: Dial) -> None:
        del self._dials[dial.session.session_id]
        dial.session.close()

    async def _run_listener(self) -> None:
        assert self._loop is not None
        async with AsyncExitStack() as stack:

            async def listen(places: Mapping[str, Target]) -> Listeners:
                assert self._loop is not None
                listeners = await stack.enter_async_context(
                    Listeners(places, loop=self._loop, compression=self._compression)
                )
                self._listeners = listeners
                for service, address in listeners.addresses.items():
                    self.tell(Listening(t_s=self.t_s, address=address, service=service))
                return listeners

            async def opened(session: PeerSession) -> None:
                if self._listeners is None:
                    listeners = await listen(free_places(session.multiplexer.peer_hello))
                    listeners.attach(session.multiplexer)

            if self.options.places is not None:
                await listen(self.options.places)
            await self.keep_session(opened)

    async def keep_session(self, opened: Callable[[PeerSession], Awaitable[None]] | None = None) -> None:
        """Open a session, and another one whenever it is lost.

        Args:
            opened: What to do with each.

        Raises:
            P2PError: The session cannot be opened, or has ended, and waiting will not help.
        """
        has_connected = False
        failures = 0
        while True:
            try:
                session = await self.open_session(self.peer_options.timeout_s)
                if opened is not None:
                    await opened(session)
            except P2PError as error:
                failures += 1
                is_late = not has_connected and self.t_s >= self.peer_options.timeout_s
                if not error.retryable or is_late:
                    raise
                self.tell_problem(error)
                await asyncio.sleep(wait_after_s(failures, least_s=DIAL_BACKOFF_MIN_S, most_s=DIAL_BACKOFF_MAX_S))
                continue
            has_connected = True
            failures = 0
            # It may have ended before we got here.
            lost = self._lost.get(session.session_id)
            end = session.error if lost is None else await lost
            assert end is not None
            if self._listeners is not None:
                self._listeners.detach()
            if not end.retryable:
                raise end

    async def _run_stdio(self) -> None:
        assert self._loop is not None
        session = await self.open_session(self.peer_options.timeout_s)
        async with StdioFlow(self._loop) as flow:
            flow.open(session.multiplexer, self.options.stdio_service, self._compression)
            await flow.wait_closed()
        await session.multiplexer.drain(timeout_s=self.peer_options.timeout_s)
        if self._flow_error is not None:
            raise self._flow_error

    # --- SessionOwner and signals --------------------------------------------------------------------------

    def other_signal(self, peer: PeerId, instance: str, body: PeerBody, session: PeerSession | None) -> None:
        """Give an answer to the attempt it is for."""
        dial = self._dials.get(body.session)
        if dial is not None and session is not None:
            dial.signal_received(body)

    def handshake_completed(self, session: PeerSession) -> None:
        """See ``SessionOwner``."""
        if (dial := self._dials.get(session.session_id)) is not None:
            dial.handshake_completed()
            if self._listeners is not None:
                # Before the verdict: it saves the first connections a round trip.
                self._listeners.attach(session.multiplexer)

    def established(self, session: PeerSession) -> None:
        """See ``SessionOwner``."""
        if (dial := self._dials.get(session.session_id)) is not None:
            dial.established()
        self.tell(Connected(t_s=self.t_s, session=short_id(session), peer=str(session.peer), **path_fields(session)))
        self.tell_path_so_far(session)
        hello = session.multiplexer.peer_hello
        wanted = (self.options.stdio_service,) if self.options.stdio else self.options.places or ()
        for error in (missing_service(hello, wanted), unwanted(hello, self.options.reverse)):
            if error is not None:
                self.tell_problem(error)

    def flow_failed(self, session: PeerSession, error: ForwardError) -> None:
        """See ``SessionOwner``."""
        super().flow_failed(session, error)
        self._flow_error = error

    def closed(self, session: PeerSession, error: P2PError) -> None:
        """See ``SessionOwner``."""
        if (dial := self._dials.get(session.session_id)) is not None:
            dial.failed(error)
            if self._listeners is not None:
                self._listeners.detach()
        super().closed(session, error)
        lost = self._lost.pop(session.session_id, None)
        if lost is not None and not lost.done():
            lost.set_result(error)
