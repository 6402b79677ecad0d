"""Two peers with path controllers, joined by simulated signalling."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise

from p2p.address import TransportAddress
from p2p.defaults import QUIC_PACKET_BYTES
from p2p.proto.ice import Candidate, CandidateType, Credentials
from p2p.proto.path import (
    AllPathsLost,
    ChecksExhausted,
    NatFacts,
    Path,
    PathController,
    PathDoubted,
    PathEvent,
    PathLost,
    PathSelected,
    RelayReason,
    why_relayed,
)
from p2p.proto.stun.message import is_stun
from tests.simnet.nat import Host
from tests.simnet.servers import REFLECTOR_ANSWER, REFLECTOR_QUESTION, Allocation, Reflector, Relay
from tests.simnet.world import Packet, World

SOCKET = 0
ALLOCATION = 1
PORT = 5000
REFLECTOR_RETRY_S = 0.25
DATA = b"\x40".ljust(QUIC_PACKET_BYTES, b"d")


@dataclass
class Diary:
    """What happened to one peer, and when."""

    selected: list[tuple[float, PathSelected]] = field(default_factory=list)
    doubted: list[float] = field(default_factory=list)
    lost: list[tuple[float, Path]] = field(default_factory=list)
    all_lost: list[float] = field(default_factory=list)
    exhausted: list[tuple[float, RelayReason]] = field(default_factory=list)
    received: list[float] = field(default_factory=list)

    def relay_at(self, *, since: float = 0.0) -> float | None:
        """When a validated relay path was first selected after an instant."""
        return next((at for at, e in self.selected if at >= since and not e.path.is_direct and e.path.validated), None)

    def longest_gap_s(self, start: float, end: float) -> float:
        """The longest time without data between two instants."""
        marks = [start, *(at for at in self.received if start < at < end), end]
        return max(later - earlier for earlier, later in pairwise(marks))


class Peer:
    """A host with one socket, one relay allocation and a path controller; gathers, trickles, sends data.

    Args:
        world: Where it lives.
        host: The host it runs on.
        reflector: Tells its public address.
        relay: Gives it an allocation.
        facts: What it knows of its NAT.
        controlling: Whether it dials.
        signalling_delay_s: How long a message to the other peer takes.
        relay_enabled: Whether it has an allocation.
        direct_enabled: Whether it may use direct paths.
    """

    def __init__(
        self,
        world: World,
        host: Host,
        reflector: Reflector,
        relay: Relay,
        *,
        facts: NatFacts,
        controlling: bool,
        signalling_delay_s: float = 0.04,
        relay_enabled: bool = True,
        direct_enabled: bool = True,
    ) -> None:
        self.world = world
        self.host = host
        self.diary = Diary()
        self.facts = replace(facts, direct_disabled=not direct_enabled)
        self.other: Peer | None = None
        self.controller = PathController(
            local=Credentials.generate(world.random.randbytes),
            controlling=controlling,
            random_bytes=world.random.randbytes,
            direct_enabled=direct_enabled,
        )
        self._remote_facts = NatFacts()
        self._reflector = reflector
        self._signalling_delay_s = signalling_delay_s
        self._asked_at: float | None = None
        self._mapped: TransportAddress | None = None
        self._timer = 0
        self._asleep_until = 0.0
        self._missed: list[tuple[bytes, TransportAddress, int]] = []
        self.stun_sent = 0
        self.allocation: Allocation | None = relay.allocate(self._from_relay) if relay_enabled else None
        self._address = host.bind(PORT, self._from_socket)

    # --- Getting connected ---------------------------------------------------------------------------------
    def start(self) -> None:
        """Offer or answer: credentials and facts first, then each candidate as it becomes known."""
        credentials, facts = self.controller.agent.local_credentials, self.facts
        self._signal(lambda other: other.greeted(credentials, facts))
        self._add(Candidate.local(CandidateType.HOST, self._address, SOCKET))
        if self.allocation is not None:
            self._add(Candidate.local(CandidateType.RELAYED, self.allocation.address, ALLOCATION))
        self.gather()

    def greeted(self, credentials: Credentials, facts: NatFacts) -> None:
        """Take the other side's offer or answer."""
        self._remote_facts = facts
        self.controller.set_remote_credentials(Credentials.from_wire_untrusted(credentials.to_wire()))
        self.controller.set_nat_facts(self.facts, NatFacts.from_wire_untrusted(facts.to_wire()), self.world.now)
        self.pump()

    def trickled(self, line: str) -> None:
        """Take a candidate of the other side's."""
        candidate = Candidate.from_wire_untrusted(line)
        if self.allocation is not None:
            self.allocation.permit(candidate.address)
        self.controller.add_remote_candidate(candidate)
        self.pump()

    def gather(self) -> None:
        """Ask for the public address until it is told; give up after a while, as UDP may be blocked."""
        self._asked_at = self.world.now
        self._mapped = None
        self._ask()

    def _ask(self) -> None:
        if self._mapped is not None or self._asked_at is None:
            return
        if self.world.now - self._asked_at > 2.0:
            self._asked_at = None
            self._end()
            return
        self.host.send(PORT, self._reflector.address, REFLECTOR_QUESTION)
        self.world.after(REFLECTOR_RETRY_S, self._ask)

    def _add(self, candidate: Candidate) -> None:
        self.controller.add_local_candidate(candidate)
        self._signal_candidate(candidate)
        self.pump()

    def _signal_candidate(self, candidate: Candidate) -> None:
        line = candidate.to_wire()
        self._signal(lambda other: other.trickled(line))

    def _end(self) -> None:
        self.controller.end_of_candidates(local=True)
        self._signal(lambda other: other.controller.end_of_candidates(remote=True))
        self.pump()

    def _signal(self, message: object) -> None:
        def arrive() -> None:
            assert self.other is not None
            message(self.other)  # type: ignore[operator]
            self.other.pump()

        self.world.after(self._signalling_delay_s, arrive)

    # --- Packets -------------------------------------------------------------------------------------------
    def _from_socket(self, packet: Packet) -> None:
        if packet.data.startswith(REFLECTOR_ANSWER):
            mapped = TransportAddress.parse(packet.data[1:].decode())
            if self._mapped is None:
                self._mapped = mapped
                self._add(Candidate.local(CandidateType.SERVER_REFLEXIVE, mapped, SOCKET, related=self._address))
                self._end()
        else:
            self._received(packet.data, packet.source, SOCKET)

    def _from_relay(self, source: TransportAddress, data: bytes) -> None:
        if self.host.online:
            self._received(data, source, ALLOCATION)

    def _received(self, data: bytes, source: TransportAddress, base_id: int) -> None:
        now = self.world.now
        if self._asleep:
            self._missed.append((data, source, base_id))
            return
        if is_stun(data):
            self.controller.receive_stun(data, source, base_id, now)
        else:
            self.diary.received.append(now)
            self.controller.path_alive(base_id, source, now)
        self.pump()

    def send_to(self, base_id: int, destination: TransportAddress, data: bytes) -> None:
        """Send from one of the two transports."""
        if base_id == SOCKET:
            self.host.send(PORT, destination, data)
        elif self.allocation is not None and self.host.online:
            self.allocation.send(destination, data)

    def send_data(self, every_s: float) -> None:
        """Send application data from now on."""
        if not self._asleep:
            for path in self.controller.sending_paths:
                self.send_to(path.base_id, path.remote, DATA)
            self.controller.sent(self.world.now)
            self.pump()
        self.world.after(every_s, lambda: self.send_data(every_s))

    def sleep(self, duration_s: float) -> None:
        """Do nothing for a while, as a suspended process; what arrives waits in the socket."""
        self._asleep_until = self.world.now + duration_s
        self.world.after(duration_s, self._wake)

    def _wake(self) -> None:
        # The event loop runs overdue timers before it reads the sockets.
        self.controller.handle_timer(self.world.now)
        self.pump()
        missed, self._missed = self._missed, []
        for data, source, base_id in missed:
            self._received(data, source, base_id)

    @property
    def _asleep(self) -> bool:
        return self.world.now < self._asleep_until

    # --- Driving the machine -------------------------------------------------------------------------------
    def pump(self) -> None:
        """Send, take events, set the timer."""
        now = self.world.now
        for base_id, destination, data in self.controller.transmits(now):
            self.stun_sent += 1
            self.send_to(base_id, destination, data)
        while (event := self.controller.next_event()) is not None:
            self._note(event)
        timer = self.controller.get_timer()
        self._timer += 1
        if timer is not None:
            this = self._timer
            self.world.at(timer, lambda: self._fire(this))

    def _fire(self, timer: int) -> None:
        if timer == self._timer and not self._asleep:
            self.controller.handle_timer(self.world.now)
            self.pump()

    def _note(self, event: PathEvent) -> None:
        now = self.world.now
        match event:
            case PathSelected():
                self.diary.selected.append((now, event))
            case PathDoubted():
                self.diary.doubted.append(now)
            case PathLost(path):
                self.diary.lost.append((now, path))
                if path.is_direct:
                    self.gather()
            case AllPathsLost():
                self.diary.all_lost.append(now)
            case ChecksExhausted(report):
                self.diary.exhausted.append((now, why_relayed(self.facts, self._remote_facts, report)))


def join(dialer: Peer, exposer: Peer) -> None:
    """Let the dialer's offer start the exposer."""
    dialer.other, exposer.other = exposer, dialer
    dialer.start()
    dialer.world.after(dialer._signalling_delay_s, exposer.start)
