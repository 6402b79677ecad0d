"""All the ways on which a program's signals go: through a rendezvous, straight to the peer, or both."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self

from p2p.aio.tasks import TaskScope
from p2p.defaults import DIRECT_PATIENCE_S, DIRECT_RECEIPT_S, LAN_LOOK_AFTER_S, LAN_PATIENCE_S
from p2p.errors import P2PError, SignallingError
from p2p.identity import PeerId
from p2p.path.endpoint import Endpoint
from p2p.proto.signalling.messages import Welcome
from p2p.signalling.callbacks import ignore
from p2p.signalling.client import SignallingClient
from p2p.signalling.direct import DirectSignalling
from p2p.signalling.errors import CODE_PEER_SILENT


class SignallingWays:
    """Sends each signal where it gets through.

    A signal to a peer that has written to us directly goes back that way, and by the rendezvous as well when no receipt
    comes soon. A first signal goes both ways at once.

    Concurrency: one event loop; all methods may be called by any task. The ``async with`` block is the rendezvous
    client's.

    Args:
        rendezvous: The connection to a rendezvous; None where there is none.
        direct: Signals without a server; None where the peers must not learn each other's addresses.
        on_signal: See ``hear``.

    Attributes:
        look: Looks for more addresses of the peer that we want to reach, and calls it there; None where that is no use.
    """

    def __init__(
        self,
        rendezvous: SignallingClient | None,
        direct: DirectSignalling | None,
        on_signal: Callable[[PeerId, str, bytes], object] = ignore,
    ) -> None:
        self.rendezvous = rendezvous
        self.direct = direct
        self.look: Callable[[], Coroutine[Any, Any, None]] | None = None
        self._looking: asyncio.Task[None] | None = None
        self._tasks = TaskScope()
        self.hear(on_signal)

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        if self.rendezvous is not None:
            try:
                await self.rendezvous.__aenter__()
            except BaseException as error:
                await self._tasks.__aexit__(type(error), error, error.__traceback__)
                raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.direct is not None:
            self.direct.close()
        try:
            await self._tasks.__aexit__(None, None, None)
        finally:
            if self.rendezvous is not None:
                await self.rendezvous.__aexit__(kind, error, traceback)

    def begin(
        self, loop: asyncio.AbstractEventLoop, endpoint: Endpoint, *, on_welcome: Callable[[Welcome], object]
    ) -> None:
        """Use a program's sockets for direct signals; before the block is entered.

        Args:
            loop: The event loop.
            endpoint: Has the sockets.
            on_welcome: Told what a rendezvous says after each login.
        """
        if self.rendezvous is not None:
            self.rendezvous.on_welcome = on_welcome
        if self.direct is not None:
            self.direct.open(loop, endpoint.send_from_socket)
            endpoint.direct_signalling = self.direct.received

    def hear(self, on_signal: Callable[[PeerId, str, bytes], object]) -> None:
        """Have every signal told, whichever way it comes.

        Args:
            on_signal: Called with the sender, authenticated, its instance and the opened body.
        """
        for way in (self.rendezvous, self.direct):
            if way is not None:
                way.on_signal = on_signal

    @property
    def connected(self) -> bool:
        """Whether we are logged in at a rendezvous."""
        return self.rendezvous is not None and self.rendezvous.connected

    @property
    def url(self) -> str:
        """The rendezvous that we are logged in at, or nothing."""
        return (self.rendezvous.url if self.rendezvous is not None else None) or ""

    @property
    def local_host(self) -> str | None:
        """The IP address of ours that the connection to the rendezvous has, or None."""
        return self.rendezvous.local_host if self.rendezvous is not None else None

    @property
    def dropped_signals(self) -> int:
        """How many signals were not for us, stale, forged or repeated."""
        return sum(way.dropped_signals for way in (self.rendezvous, self.direct) if way is not None)

    def reconnect(self) -> None:
        """Make the connection to the rendezvous anew, because the network has changed under it."""
        if self.rendezvous is not None:
            self.rendezvous.reconnect()

    def ask_for_relays(self) -> None:
        """Ask the rendezvous which relays there are now: none at hand serves us."""
        if self.rendezvous is not None:
            self.rendezvous.renewal.ask_soon()

    def can_reach(self, peer: PeerId, instance: str) -> bool:
        """Whether a signal to a peer would leave at once."""
        return self.connected or (self.direct is not None and self.direct.knows(peer, instance))

    def can_call(self, peer: PeerId, instance: str) -> bool:
        """Whether a peer may be reached without a rendezvous, for all that is known before."""
        direct = self.direct
        return direct is not None and direct.is_callee(peer, instance) and bool(direct.called or self.look)

    async def send(
        self, peer: PeerId, body: bytes, *, instance: str = "", knock: bytes | None = None, confirm: bool = True
    ) -> None:
        """Send a body to a peer; one that was lost is called again, as far as we know where.

        Args:
            peer: The receiver.
            body: Anything, up to about 11 KiB.
            instance: Which of the receiver's programs.
            knock: See ``SignallingClient.send``.
            confirm: See there.

        Raises:
            SignallingError: The peer cannot be reached.
            IdentityError: The peer id is no usable key.
            LocalProtocolError: The body is too long.
        """
        direct = self.direct
        if direct is not None and direct.knows(peer, instance):
            receipt = direct.send(peer, instance, body)
            await asyncio.wait((receipt,), timeout=DIRECT_RECEIPT_S)
            if receipt.done() and not receipt.cancelled() and receipt.result():
                return
        if direct is not None and not self.connected and self.can_call(peer, instance):
            sealed = direct.seal_for_callee(body)
            if await self._reach(sealed, LAN_PATIENCE_S):
                return
        if self.rendezvous is None:
            raise SignallingError(self.tried(), code=CODE_PEER_SILENT)
        await self.rendezvous.send(peer, body, instance=instance, knock=knock, confirm=confirm)

    async def ask(
        self,
        peer: PeerId,
        make_body: Callable[[], bytes],
        *,
        instance: str,
        is_needed: Callable[[], Coroutine[Any, Any, bool]],
    ) -> None:
        """Send a peer the first signal, which it will answer, on every way at once.

        Args:
            peer: The receiver.
            make_body: Makes anything, up to about 11 KiB: at once, and for a rendezvous when it has let us in, for by
                then more may be known.
            instance: Which of the receiver's programs.
            is_needed: Asked when a rendezvous has let us in: whether it has to pass the signal on at all.

        Returns:
            When a rendezvous has passed it on, or the peer has written something directly.

        Raises:
            SignallingError: The rendezvous cannot reach the peer, and nothing came directly while we had patience.
            IdentityError: The peer id is no usable key.
            LocalProtocolError: The body is too long.
        """
        if self.direct is None or not self.can_call(peer, instance):
            if await is_needed():
                await self.send(peer, make_body(), instance=instance)
            return
        sealed = self.direct.seal_for_callee(make_body())
        patience_s = LAN_PATIENCE_S if self.rendezvous is None else DIRECT_PATIENCE_S
        # Goes on when the rendezvous has passed the signal on: it may be wrong about who is there.
        reaching = self._tasks.start(self._reach(sealed, patience_s), name="direct signalling")
        sending = self._tasks.start(self._send_by_rendezvous(peer, make_body, instance, is_needed), name="signalling")
        try:
            await asyncio.wait((reaching, sending), return_when=asyncio.FIRST_COMPLETED)
            if not sending.done() and not reaching.result():
                await asyncio.wait((sending,))
            problem = sending.result() if sending.done() else None
            if problem is not None and not await reaching:
                raise _with_detail(problem, self.tried())
        except asyncio.CancelledError:
            reaching.cancel()
            raise
        finally:
            sending.cancel()

    def why_silent(self) -> P2PError | None:
        """Say why a peer that was asked has not answered in time, unless a rendezvous has passed the question on."""
        if self.rendezvous is None:
            return SignallingError(self.tried(), code=CODE_PEER_SILENT)
        if self.rendezvous.connected or self.rendezvous.last_error is None:
            return None
        return _with_detail(self.rendezvous.last_error, self.tried())

    def tried(self) -> str:
        """What was tried to reach the callee without a server, in words."""
        if self.direct is None:
            return "no address was called"
        called = ", ".join(str(address) for address in self.direct.called)
        parts = [f"nothing answers at {called}" if called else "no address to call is known", self.direct.asked]
        return "; ".join(part for part in parts if part)

    async def _reach(self, sealed: bytes, patience_s: float) -> bool:
        assert self.direct is not None
        if self.look is not None and (self._looking is None or self._looking.done()):
            # Where addresses are known, the search is for when they do not answer.
            after_s = LAN_LOOK_AFTER_S if self.direct.called else 0.0
            self._looking = self._tasks.start(_later(after_s, self.look), name="look for the peer")
        try:
            async with asyncio.timeout(patience_s):
                await self.direct.reach(sealed)
        except TimeoutError:
            return False
        if self._looking is not None:
            self._looking.cancel()
        return True

    async def _send_by_rendezvous(
        self,
        peer: PeerId,
        make_body: Callable[[], bytes],
        instance: str,
        is_needed: Callable[[], Coroutine[Any, Any, bool]],
    ) -> P2PError | None:
        """The error is a value, because it is not the scope's."""
        if self.rendezvous is None:
            return SignallingError(code=CODE_PEER_SILENT)
        try:
            await self.rendezvous.welcome()
            if await is_needed():
                await self.rendezvous.send(peer, make_body(), instance=instance)
        except P2PError as error:
            return error
        return None


async def _later(after_s: float, what: Callable[[], Coroutine[Any, Any, None]]) -> None:
    await asyncio.sleep(after_s)
    await what()


def _with_detail(problem: P2PError, detail: str) -> P2PError:
    """Make the same error with more words."""
    told = type(problem)(f"{problem.detail}; {detail}" if problem.detail else detail, code=problem.error_code)
    told.__cause__ = problem.__cause__
    return told
