"""What an exposer and a connector share: a node, the sessions on it, the news they make."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Literal, Self

from p2p.aio.descriptors import raise_descriptor_limit
from p2p.aio.tasks import TaskScope
from p2p.defaults import FLOW_PROBLEM_INTERVAL_S, SESSIONS_REPORTED
from p2p.errors import ForwardError, P2PError, SessionClosedError, SignallingError
from p2p.forward.credit import CreditPool
from p2p.identity import PeerId
from p2p.proto.path.reason import RelayReason
from p2p.proto.signalling.bodies import Farewell, PeerBody, Trickle, decode_untrusted, encode
from p2p.proto.tunnel.codes import GoodbyeCode
from p2p.proto.tunnel.frames import AuthRequest
from p2p.session.delivery import SignalDelivery
from p2p.session.describe import (
    check_counts,
    nat_facts,
    path_fields,
    relay_place,
    relayed_reason,
    session_nat,
    session_pairs,
    session_status,
    short_id,
)
from p2p.session.events import Event, PathChanged, Problem, Relayed, Report, SessionClosed, SignallingChanged
from p2p.session.meeting import reach_rendezvous
from p2p.session.node import Node
from p2p.session.options import PeerOptions
from p2p.session.outbox import TrickleOutbox
from p2p.session.peer_session import PeerSession
from p2p.session.status import SessionStatus, SignallingPhase, Status
from p2p.signalling.client import SignallingState

logger = logging.getLogger(__name__)

_PHASES = {
    SignallingState.CONNECTING: SignallingPhase.CONNECTING,
    SignallingState.CONNECTED: SignallingPhase.ONLINE,
    SignallingState.WAITING: SignallingPhase.OFFLINE,
    SignallingState.FAILED: SignallingPhase.OFFLINE,
    SignallingState.CLOSED: SignallingPhase.CLOSED,
}


class Program:
    """A node and its sessions, told as events and shown as a ``Status``.

    Concurrency: one event loop; used as ``async with``. Events are told in order, from the loop.

    Args:
        options: Who we are and where we meet.
        on_event: Told what happens.
    """

    role: Literal["expose", "connect"]

    def __init__(self, options: PeerOptions, on_event: Callable[[Event], None]) -> None:
        self.peer_options = options
        self.sessions: dict[str, PeerSession] = {}
        self._by_short_id: dict[str, PeerSession] = {}
        self._delivery = SignalDelivery()
        self.pool = CreditPool()
        self.draining = False
        self._on_event = on_event
        self._scope = TaskScope()
        self._outbox: TrickleOutbox[PeerSession] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._started_at = 0.0
        self._finished: deque[SessionStatus] = deque(maxlen=SESSIONS_REPORTED)
        self._phase = SignallingPhase.CONNECTING
        self._outages = 0
        self._flows_failed = 0
        self._flow_problems_told_at: dict[str, float] = {}

    def make_node(self) -> Node:
        """Make the node this program lives on."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        raise_descriptor_limit()
        loop = asyncio.get_running_loop()
        self.node = self.make_node()
        self.node.warm_up()
        self._loop = loop
        self._started_at = loop.time()
        self._outbox = TrickleOutbox(
            loop,
            can_send=self._can_send,
            send=self._start_sending,
        )
        ways = self.node.signalling
        if ways.rendezvous is None:
            self._phase = SignallingPhase.NONE
        else:
            ways.rendezvous.on_state = self._signalling_changed
        if ways.direct is not None:
            ways.direct.on_heard = self._outbox.flush
        await self.node.__aenter__()
        try:
            await self._scope.__aenter__()
        except BaseException as error:
            await self.node.__aexit__(type(error), error, error.__traceback__)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._outbox is not None
        self._outbox.close()
        try:
            await self._end_sessions()
        finally:
            try:
                await self._scope.__aexit__(kind, error, traceback)
            finally:
                await self.node.__aexit__(kind, error, traceback)

    async def run_beside(self, stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> Report:
        """Do the program's work until it ends or ``stop`` is set.

        Raises:
            P2PError: The work failed.
        """
        stopping = self._scope.start(stop.wait(), name="wait for stop")
        # The error is a value in between: it is this caller's, and not the scope's.
        working = self._scope.start(_outcome(work), name=self.role)
        await asyncio.wait({stopping, working}, return_when=asyncio.FIRST_COMPLETED)
        if working.done() and (error := working.result()) is not None:
            raise error
        working.cancel()
        return self.report()

    async def reach_rendezvous(self) -> None:
        """Wait until the rendezvous has let us in; see ``p2p.session.meeting``. Without one there is nothing to do."""
        if (client := self.node.signalling.rendezvous) is not None:
            await reach_rendezvous(client, self.peer_options.timeout_s)

    # --- telling -------------------------------------------------------------------------------------------

    @property
    def t_s(self) -> float:
        """Seconds since signalling began."""
        return 0.0 if self._loop is None else self._loop.time() - self._started_at

    def tell(self, event: Event) -> None:
        """Tell an event."""
        self._on_event(event)

    def tell_problem(self, error: P2PError) -> None:
        """Tell what went wrong while the program goes on."""
        self.tell(Problem(t_s=self.t_s, error=error))

    @property
    def datagrams_dropped(self) -> int:
        """Datagrams of local programs that no session got."""
        return 0

    def base_status(self) -> Status:
        """The part of the status that both roles have."""
        if self._loop is None:
            return Status(role=self.role, taken_at=0.0)
        return Status(
            role=self.role,
            taken_at=self._loop.time(),
            peer_id=str(self.node.identity.peer_id),
            signalling=self._phase,
            rendezvous=self.node.signalling.url,
            nat=nat_facts(self.node),
            sessions=self._open_sessions(),
            datagrams_dropped=self.datagrams_dropped,
            draining=self.draining,
            checks=check_counts(self.node),
            relay=relay_place(self.node),
        )

    def session_status(self, name: str) -> SessionStatus | None:
        """The state of one open session, without the effort of all.

        Args:
            name: Its id in events.
        """
        session = self._by_short_id.get(name)
        return None if session is None or not session.is_established else session_status(session, self.node)

    def add_session(self, session: PeerSession) -> None:
        """Keep a session, until ``closed`` is called."""
        self.sessions[session.session_id] = session
        self._by_short_id[short_id(session)] = session

    def report(self) -> Report:
        """What happened from start to end."""
        sessions = (*self._finished, *self._open_sessions())
        return Report(
            t_s=self.t_s,
            sessions=sessions,
            flows_failed=self._flows_failed,
            outages=self._outages,
            datagrams_dropped=self.datagrams_dropped,
        )

    def _open_sessions(self) -> tuple[SessionStatus, ...]:
        sessions = self.sessions.values()
        return tuple(session_status(session, self.node) for session in sessions if session.is_established)

    async def drain(self) -> None:
        """Take nothing new; return when the last connection has ended on both sides."""
        self.draining = True
        sessions = [session for session in self.sessions.values() if session.is_established]
        if sessions:
            await asyncio.gather(*(session.multiplexer.drain(timeout_s=float("inf")) for session in sessions))

    # --- SessionOwner --------------------------------------------------------------------------------------

    def handshake_completed(self, session: PeerSession) -> None:
        """See ``SessionOwner``."""

    def auth_requested(self, session: PeerSession, request: AuthRequest) -> None:
        """See ``SessionOwner``."""

    def established(self, session: PeerSession) -> None:
        """See ``SessionOwner``."""

    def path_changed(self, session: PeerSession) -> None:
        """See ``SessionOwner``; a connecting user sees the first paths come, an exposing one only those let in."""
        fields = path_fields(session)
        session.history.append((self.t_s, fields["path"]))
        if session.is_established or self.role == "connect":
            self.tell(PathChanged(t_s=self.t_s, session=short_id(session), **fields))

    def relayed(self, session: PeerSession, reason: RelayReason) -> None:
        """See ``SessionOwner``."""
        if session.is_established:
            self.tell(
                Relayed(
                    t_s=self.t_s,
                    session=short_id(session),
                    reason=relayed_reason(reason),
                    nat=session_nat(session, self.node),
                    pairs=session_pairs(session),
                )
            )

    def tell_path_so_far(self, session: PeerSession) -> None:
        """Tell why a session that has just been opened is relayed, when that was known before."""
        if session.reason is not None:
            self.relayed(session, session.reason)

    def flow_failed(self, session: PeerSession, error: ForwardError) -> None:
        """See ``SessionOwner``; what fails again and again is not told every time."""
        assert self._loop is not None
        self._flows_failed += 1
        now = self._loop.time()
        told_at = self._flow_problems_told_at.get(error.code)
        if told_at is None or now - told_at >= FLOW_PROBLEM_INTERVAL_S:
            self._flow_problems_told_at[error.code] = now
            self.tell_problem(error)

    def closed(self, session: PeerSession, error: P2PError) -> None:
        """See ``SessionOwner``."""
        if session.is_established:
            self._finished.append(session_status(session, self.node))
            is_orderly = isinstance(error, SessionClosedError)
            self.tell(
                SessionClosed(
                    t_s=self.t_s,
                    session=short_id(session),
                    reason=error.detail or str(error),
                    code=None if is_orderly else error.code,
                )
            )
        self.sessions.pop(session.session_id, None)
        self._by_short_id.pop(short_id(session), None)
        self._delivery.forget(session)
        if self._outbox is not None:
            self._outbox.forget(session)
        if self._scope.is_open:
            self._scope.start(self._bury(session), name="end of a session")
        else:
            # What a cancelled attempt leaves: the program ends, and waits for nobody's last packet.
            session.release()

    def announced(self, session: PeerSession) -> None:
        """See ``SessionOwner``."""
        if self._outbox is not None:
            self._outbox.announced(session)

    def send_signal(self, session: PeerSession, body: PeerBody) -> None:
        """See ``SessionOwner``."""
        if isinstance(body, Trickle):
            assert self._outbox is not None
            self._outbox.put(session, body)
        elif self._can_send(session):
            self._start_sending(session, body)

    def _can_send(self, session: PeerSession) -> bool:
        """Whether there is a way to a session's peer now, or one that may be found: not yet while it is being asked."""
        way = session.peer, session.peer_instance
        return self.node.signalling.can_reach(*way) or (session.has_remote and self.node.signalling.can_call(*way))

    def _start_sending(self, session: PeerSession, body: PeerBody) -> None:
        if self._scope.is_open:
            self._scope.start(self._send_of(session, body), name="signal")

    # --- signals -------------------------------------------------------------------------------------------

    def signal_received(self, peer: PeerId, instance: str, data: bytes) -> None:
        """Take a signal of an authenticated peer; nonsense is logged and dropped."""
        if not self._scope.is_open:
            return  # the program ends
        try:
            body = decode_untrusted(data)
        except P2PError as error:
            logger.info("signal of %s dropped: %s", peer.short, error)
            return
        if body is None:
            return
        session = self.sessions.get(body.session)
        if session is not None and session.peer != peer:
            logger.info("peer %s names a session that is not its own", peer.short)
            return
        if session is not None and isinstance(body, Trickle):
            session.remove_remote(body.gone)
            session.add_remote(body.candidates)
            if body.nat is not None:
                session.set_remote_facts(body.nat)
            if body.guess is not None:
                session.take_hint(body.guess)
            if body.end:
                session.controller.end_of_candidates(remote=True)
                session.link.poke()
        elif session is not None and isinstance(body, Farewell):
            session.close(GoodbyeCode.DONE, body.text or "the peer is gone")
        else:
            self.other_signal(peer, instance, body, session)

    def other_signal(self, peer: PeerId, instance: str, body: PeerBody, session: PeerSession | None) -> None:
        """Take a signal that only one of the roles understands."""

    async def _send(self, peer: PeerId, instance: str, body: PeerBody, knock: bytes | None = None) -> None:
        try:
            await self.node.signalling.send(peer, encode(body), instance=instance, knock=knock, confirm=False)
        except SignallingError as error:
            logger.info("signal to %s not sent: %s", peer.short, error)

    async def _send_of(self, session: PeerSession, body: PeerBody) -> None:
        again = await self._delivery.send(self.node, session, body)
        if again is not None and self.sessions.get(session.session_id) is session:
            self.send_signal(session, again)

    def _signalling_changed(self, state: SignallingState) -> None:
        phase = _PHASES[state]
        if state is SignallingState.CONNECTED and self._outbox is not None:
            self._outbox.connected()
        if phase is not self._phase:
            # Attempts that fail alternate with waits; an outage is counted when it begins.
            self._outages += self._phase is SignallingPhase.ONLINE and phase is SignallingPhase.OFFLINE
            self._phase = phase
            client = self.node.signalling.rendezvous
            error = None if client is None else client.last_error
            detail = error.detail if error is not None and phase is SignallingPhase.OFFLINE else ""
            self.tell(SignallingChanged(t_s=self.t_s, state=phase, detail=detail))

    # --- ends ----------------------------------------------------------------------------------------------

    async def _bury(self, session: PeerSession) -> None:
        await session.connection.wait_closed()
        session.release()

    async def _end_sessions(self) -> None:
        """Say goodbye to every peer, and give the last packets a moment to leave."""
        sessions = list(self.sessions.values())
        for session in sessions:
            session.close(GoodbyeCode.SHUTTING_DOWN if self.role == "expose" else GoodbyeCode.DONE)
        # One turn of the loop sends what is queued.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for session in sessions:
            session.release()


async def _outcome(work: Coroutine[Any, Any, None]) -> P2PError | None:
    try:
        await work
    except P2PError as error:
        return error
    return None
