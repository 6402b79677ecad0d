"""A stand-in for an exposer or connector that plays a script, for tests of the command line and to look at it.

``python -m tests.support.scripted_peer`` plays one in the terminal it is started in.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import TracebackType

from p2p.address import TransportAddress
from p2p.errors import P2PError
from p2p.session.events import (
    Event,
    PathChanged,
    Ready,
    Relayed,
    Report,
    SessionClosed,
    SessionOpened,
    SignallingChanged,
)
from p2p.session.status import (
    NatFacts,
    PairStatus,
    PathKind,
    PathTransport,
    RelayedReason,
    SessionNat,
    SessionStatus,
    SignallingPhase,
    Status,
)

PEER_A = "k7" + "a" * 50
PEER_B = "q3" + "b" * 50
TICKET = "p2p1" + "abcdefghijklmnopqrstuvwxyz234567" * 7
HARD = RelayedReason(
    "both-mappings-dependent", "both NATs take a new random port for each destination", "map a port on one side"
)


class ScriptedPeer:
    """Behaves as an exposer or connector does; what happens is up to the test.

    Args:
        on_event: Where events go.
        play: Called with the peer in ``run_until``; whatever it raises ends the run.
        enter_error: What entering raises.
    """

    def __init__(
        self,
        on_event: Callable[[Event], None],
        play: Callable[[ScriptedPeer], object] | None = None,
        *,
        enter_error: P2PError | None = None,
        role: str = "expose",
    ) -> None:
        self.emit = on_event
        self._play = play
        self._enter_error = enter_error
        self.status = Status(role=role, taken_at=0.0, name="web", target="localhost:8080")  # type: ignore[arg-type]
        self.drained = asyncio.Event()
        self.drain_asked = asyncio.Event()
        self.running = asyncio.Event()
        self.finished = asyncio.Event()

    async def __aenter__(self) -> ScriptedPeer:
        if self._enter_error is not None:
            raise self._enter_error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.finished.set()

    def sessions(self, *sessions: SessionStatus) -> None:
        """Show these sessions from now on."""
        self.status = replace(self.status, sessions=sessions, taken_at=time.monotonic())

    def session_status(self, name: str) -> SessionStatus | None:
        """One of the sessions that are shown."""
        return next((session for session in self.status.sessions if session.session == name), None)

    async def run_until(self, stop: asyncio.Event) -> Report:
        """Play the script, then wait."""
        if self._play is not None:
            result = self._play(self)
            if asyncio.iscoroutine(result):
                await result
        self.running.set()
        await stop.wait()
        return Report(t_s=1.0, sessions=self.status.sessions)

    async def drain(self) -> None:
        """Wait until the test says that everything is drained."""
        self.drain_asked.set()
        await self.drained.wait()


def session(name: str = "a1", peer: str = PEER_A, **changes: object) -> SessionStatus:
    """A session over a direct path; change what matters."""
    base = SessionStatus(
        session=name,
        peer=peer,
        since_wall=1000.0,
        path=PathKind.DIRECT,
        address=TransportAddress("203.0.113.9", 40022),
        rtt_s=0.0234,
        bytes_in=1_500_000,
        bytes_out=4200,
        flows_open=2,
        flows_total=17,
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def relayed_session() -> SessionStatus:
    """A session that stays on the relay over TLS, and says why."""
    return session(
        "b2",
        PEER_B,
        path=PathKind.RELAY,
        transport=PathTransport.TLS,
        address=TransportAddress("198.51.100.10", 5349),
        rtt_s=0.081,
        relayed=HARD,
        pairs=(
            PairStatus(
                local="host 192.168.1.7:4000",
                remote="srflx 192.0.2.9:5000",
                state="failed",
                detail="unanswered after 7 checks",
                local_type="host",
                local_address="192.168.1.7:4000",
                remote_type="srflx",
                remote_address="192.0.2.9:5000",
                end="unanswered",
                attempts=7,
            ),
            PairStatus(
                local="relay 198.51.100.10:50000",
                remote="srflx 192.0.2.9:5000",
                state="succeeded",
                rtt_s=0.08,
                local_type="relay",
                local_address="198.51.100.10:50000",
                remote_type="srflx",
                remote_address="192.0.2.9:5000",
                relayed=True,
                attempts=1,
                selected=True,
            ),
        ),
        nat=SessionNat(
            local=NatFacts(mapping="address_and_port_dependent", port_preserving=False),
            remote=NatFacts(mapping="address_and_port_dependent", filtering="address_and_port_dependent"),
        ),
    )


def full_status(sessions: Sequence[SessionStatus] = (), **changes: object) -> Status:
    """An exposer that is online."""
    base = Status(
        role="expose",
        taken_at=10.0,
        peer_id=PEER_A,
        signalling=SignallingPhase.ONLINE,
        rendezvous="wss://rendezvous.example",
        nat=NatFacts(
            mapping="endpoint_independent",
            filtering="address_and_port_dependent",
            port_preserving=True,
            udp_blocked=False,
        ),
        service="web-1",
        name="web",
        ticket=TICKET,
        target="localhost:8080",
        sessions=tuple(sessions),
    )
    return replace(base, **changes)  # type: ignore[arg-type]


async def _show(pace_s: float) -> None:
    """Play a whole life: online, a session over the relay that becomes direct, one that cannot, the end."""
    from p2p.cli.output import choose_output
    from p2p.cli.runner import run_peer

    async def play(peer: ScriptedPeer) -> None:
        started_at = time.monotonic()

        def t_s() -> float:
            return time.monotonic() - started_at

        peer.emit(SignallingChanged(t_s=t_s(), state=SignallingPhase.CONNECTING))
        await asyncio.sleep(pace_s)
        peer.status = full_status(taken_at=time.monotonic())
        peer.emit(
            Ready(
                t_s=t_s(), ticket=TICKET, name="web", service="web-1", peer_id=PEER_A, rendezvous=peer.status.rendezvous
            )
        )
        await asyncio.sleep(pace_s)
        now_wall = time.time()
        peer.emit(SessionOpened(t_s=t_s(), session="a1", peer=PEER_A, path=PathKind.RELAY, rtt_s=0.08))
        for step in range(12):
            if step == 2:
                address = TransportAddress("203.0.113.9", 40022)
                peer.emit(PathChanged(t_s=t_s(), session="a1", path=PathKind.DIRECT, address=address, rtt_s=0.0234))
            if step == 4:
                peer.emit(Relayed(t_s=t_s(), session="b2", reason=HARD))
            direct = session(
                since_wall=now_wall,
                bytes_in=step * 3_000_000,
                bytes_out=step * 25_000,
                path=PathKind.RELAY if step < 2 else PathKind.DIRECT,
            )
            peer.sessions(direct, *([replace(relayed_session(), since_wall=now_wall)] if step > 3 else []))
            await asyncio.sleep(pace_s)
        peer.emit(SessionClosed(t_s=t_s(), session="b2", reason="the peer said goodbye"))
        peer.sessions(direct)
        peer.drained.set()

    await run_peer(lambda on_event: ScriptedPeer(on_event, play), choose_output(as_json=False))


if __name__ == "__main__":
    asyncio.run(_show(pace_s=1.0))
