"""Two agents on one wire, with a fake clock."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from p2p.address import TransportAddress
from p2p.proto.ice import Candidate, CandidateType, Credentials, IceAgent, IceEvent

Rewrite = Callable[[bytes, TransportAddress, TransportAddress], tuple[bytes, TransportAddress] | None]


def host(address: str, base_id: int = 0) -> Candidate:
    return Candidate.local(CandidateType.HOST, TransportAddress.parse(address), base_id)


def relayed(address: str, base_id: int = 1) -> Candidate:
    return Candidate.local(CandidateType.RELAYED, TransportAddress.parse(address), base_id)


def signalled(candidate: Candidate) -> Candidate:
    return Candidate.from_wire_untrusted(candidate.to_wire())


@dataclass
class Side:
    """One agent, the addresses of its transports, and what it reported."""

    agent: IceAgent
    addresses: dict[int, TransportAddress]
    events: list[IceEvent] = field(default_factory=list)
    sent: list[tuple[float, bytes]] = field(default_factory=list)

    def of(self, kind: type) -> list[IceEvent]:
        return [event for event in self.events if isinstance(event, kind)]


class Duo:
    """Two agents; what either sends reaches the other ``delay_s`` later, unless ``rewrite`` says otherwise."""

    def __init__(self, *, roles: tuple[bool, bool] = (True, False), delay_s: float = 0.01, seed: int = 1) -> None:
        self.random = random.Random(seed)
        self.now = 100.0
        self.delay_s = delay_s
        self.rewrite: Rewrite = lambda data, source, destination: (data, source)
        self._flying: list[tuple[float, TransportAddress, TransportAddress, bytes]] = []
        self.a, self.b = (self._side(controlling) for controlling in roles)

    def _side(self, controlling: bool) -> Side:
        agent = IceAgent(
            local=Credentials.generate(self.random.randbytes),
            controlling=controlling,
            random_bytes=self.random.randbytes,
        )
        return Side(agent, {})

    @property
    def sides(self) -> tuple[Side, Side]:
        return self.a, self.b

    def local(self, side: Side, candidate: Candidate, *, tell: bool = True) -> Candidate:
        """Give a side a candidate, and by default the other one word of it."""
        side.agent.add_local_candidate(candidate)
        if candidate.type in (CandidateType.HOST, CandidateType.RELAYED):
            side.addresses[candidate.base_id] = candidate.address
        if tell:
            (self.b if side is self.a else self.a).agent.add_remote_candidate(signalled(candidate))
        return candidate

    def introduce(self, *, a: bool = True, b: bool = True) -> None:
        """Tell each side the other's credentials."""
        if a:
            self.a.agent.set_remote_credentials(self.b.agent.local_credentials)
        if b:
            self.b.agent.set_remote_credentials(self.a.agent.local_credentials)

    def simple(self) -> None:
        """One host candidate each, everything known."""
        self.local(self.a, host("10.0.0.1:1000"))
        self.local(self.b, host("10.0.0.2:2000"))
        self.introduce()

    def run(self, duration_s: float, step_s: float = 0.005) -> None:
        end = self.now + duration_s
        while self.now < end:
            self.now += step_s
            self._deliver()
            for side in self.sides:
                timer = side.agent.get_timer()
                if timer is not None and timer <= self.now:
                    side.agent.handle_timer(self.now)
                self.collect(side)

    def collect(self, side: Side) -> None:
        """Send what a side wants sent, and take its events."""
        for base_id, destination, data in side.agent.transmits(self.now):
            side.sent.append((self.now, data))
            rewritten = self.rewrite(data, side.addresses[base_id], destination)
            if rewritten is not None:
                self._flying.append((self.now + self.delay_s, rewritten[1], destination, rewritten[0]))
        while (event := side.agent.next_event()) is not None:
            side.events.append(event)

    def _deliver(self) -> None:
        due = [packet for packet in self._flying if packet[0] <= self.now]
        self._flying = [packet for packet in self._flying if packet[0] > self.now]
        for _, source, destination, data in due:
            for side in self.sides:
                for base_id, address in side.addresses.items():
                    if address == destination:
                        side.agent.receive_stun(data, source, base_id, self.now)
