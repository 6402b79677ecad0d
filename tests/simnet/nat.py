"""NATs as data, and hosts behind them."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from enum import Enum, auto

from p2p.address import TransportAddress
from tests.simnet.world import Packet, World

FIRST_PORT = 20_000
LAST_PORT = 60_000
RANGE_PORTS = 2048
"""How many ports a carrier's NAT gives to one customer, where it splits them up."""


class Dependence(Enum):
    """On what of the remote address a mapping or filter depends. Source: RFC 4787 sections 4.1 and 5."""

    INDEPENDENT = auto()
    ADDRESS = auto()
    ADDRESS_AND_PORT = auto()

    def part(self, remote: TransportAddress) -> Hashable:
        """Return what matters of a remote address."""
        if self is Dependence.INDEPENDENT:
            return None
        return remote.host if self is Dependence.ADDRESS else remote


class Allocator(Enum):
    """How the outside port of a new mapping is picked."""

    PRESERVING = auto()
    SEQUENTIAL = auto()
    RANDOM = auto()
    RANGE = auto()
    """At random, out of ``RANGE_PORTS``."""


@dataclass(frozen=True)
class NatBehaviour:
    """What a NAT does.

    Attributes:
        mapping: On what the outside port depends.
        filtering: On what it depends who may send in.
        allocator: How a new outside port is picked.
        step: How far apart ports are that are given one after the other.
        pool: How many outside addresses there are; each new mapping takes the next one. Source: RFC 4787 section 4.1,
            "Arbitrary" pooling, in its worst form.
        lifetime_s: How long an unused mapping lives.
        hairpin: Whether inside hosts reach each other by outside addresses.
        isolated: Whether inside hosts do not reach each other by inside addresses.
        udp_blocked: Whether no UDP passes at all.
    """

    mapping: Dependence = Dependence.INDEPENDENT
    filtering: Dependence = Dependence.INDEPENDENT
    allocator: Allocator = Allocator.PRESERVING
    step: int = 1
    pool: int = 1
    lifetime_s: float = 60.0
    hairpin: bool = False
    isolated: bool = False
    udp_blocked: bool = False


@dataclass
class _Mapping:
    inside: TransportAddress
    outside: TransportAddress
    used_at: float
    contacted: set[Hashable] = field(default_factory=set)


class Nat:
    """One NAT with a public address and hosts inside; filters are kept for each mapping, as in real ones."""

    def __init__(self, world: World, host: str, behaviour: NatBehaviour) -> None:
        self.host = host
        self.behaviour = behaviour
        self._world = world
        self._inside: dict[str, Host] = {}
        self._mappings: dict[Hashable, _Mapping] = {}
        self._by_outside: dict[TransportAddress, _Mapping] = {}
        self._next_port = FIRST_PORT
        self._count = 0
        self._attach()

    def add(self, host: Host) -> None:
        """Put a host behind the NAT."""
        self._inside[host.host] = host

    def reboot(self, *, host: str | None = None) -> None:
        """Forget every mapping, and take another public address when one is given."""
        self._mappings.clear()
        self._by_outside.clear()
        self._next_port += 1000
        if host is not None:
            self.host = host
            self._attach()

    @property
    def hosts(self) -> tuple[str, ...]:
        """The outside addresses."""
        network, _, last = self.host.rpartition(".")
        return tuple(f"{network}.{int(last) + number}" for number in range(self.behaviour.pool))

    def _attach(self) -> None:
        for host in self.hosts:
            self._world.attach(host, self)

    def send(self, packet: Packet) -> None:
        """Take a packet from inside."""
        neighbour = self._inside.get(packet.destination.host)
        if neighbour is not None and not self.behaviour.isolated:
            self._world.after(0.0005, lambda: neighbour.receive(packet))
            return
        if self.behaviour.udp_blocked or neighbour is not None:
            return
        mapping = self._mapping_for(packet.source, packet.destination)
        mapping.used_at = self._world.now
        mapping.contacted.add(self.behaviour.filtering.part(packet.destination))
        outside = packet._replace(source=mapping.outside)
        if packet.destination.host not in self.hosts:
            self._world.send(outside)
        elif self.behaviour.hairpin:
            self.receive(outside)

    def receive(self, packet: Packet) -> None:
        """Take a packet from outside."""
        mapping = self._by_outside.get(packet.destination)
        if mapping is None or self._expired(mapping):
            return
        if self.behaviour.filtering.part(packet.source) not in mapping.contacted:
            return
        mapping.used_at = self._world.now
        self._inside[mapping.inside.host].receive(packet._replace(destination=mapping.inside))

    def _expired(self, mapping: _Mapping) -> bool:
        return self._world.now - mapping.used_at > self.behaviour.lifetime_s

    def _mapping_for(self, inside: TransportAddress, remote: TransportAddress) -> _Mapping:
        key = (inside, self.behaviour.mapping.part(remote))
        mapping = self._mappings.get(key)
        if mapping is not None and not self._expired(mapping):
            return mapping
        if mapping is not None:
            del self._by_outside[mapping.outside]
        mapping = _Mapping(inside, self._allocate(inside.port), self._world.now)
        self._mappings[key] = self._by_outside[mapping.outside] = mapping
        return mapping

    def _allocate(self, inside_port: int) -> TransportAddress:
        host = self.hosts[self._count % self.behaviour.pool]
        self._count += 1
        if self.behaviour.allocator is Allocator.PRESERVING:
            kept = TransportAddress(host, inside_port)
            if kept not in self._by_outside:
                return kept
        while True:
            outside = TransportAddress(host, self._pick_port())
            if outside not in self._by_outside:
                return outside

    def _pick_port(self) -> int:
        match self.behaviour.allocator:
            case Allocator.RANDOM:
                return self._world.random.randrange(FIRST_PORT, LAST_PORT)
            case Allocator.RANGE:
                return self._world.random.randrange(FIRST_PORT, FIRST_PORT + RANGE_PORTS)
        port, self._next_port = self._next_port, self._next_port + self.behaviour.step
        return port


class Host:
    """A host: behind a NAT, or with a public address when there is none.

    Args:
        world: Where it lives.
        host: Its IP address.
        nat: What is in front of it.
    """

    def __init__(self, world: World, host: str, nat: Nat | None = None) -> None:
        self.host = host
        self.nat = nat
        self.online = True
        self._world = world
        self._ports: dict[int, Callable[[Packet], None]] = {}
        self._next_port = 0
        if nat is None:
            world.attach(host, self)
        else:
            nat.add(self)

    def bind(self, port: int, receiver: Callable[[Packet], None]) -> TransportAddress:
        """Open a UDP port."""
        self._ports[port] = receiver
        return TransportAddress(self.host, port)

    def unbind(self, port: int) -> None:
        """Close a UDP port."""
        del self._ports[port]

    @property
    def open_ports(self) -> int:
        """How many UDP ports are open."""
        return len(self._ports)

    def free_port(self, first: int) -> int:
        """Return a port from ``first`` on that was never returned before."""
        self._next_port = max(self._next_port + 1, first)
        return self._next_port

    def send(self, port: int, destination: TransportAddress, data: bytes) -> None:
        """Send from an open port."""
        if not self.online:
            return
        packet = Packet(TransportAddress(self.host, port), destination, data)
        if self.nat is not None:
            self.nat.send(packet)
        else:
            self._world.send(packet)

    def receive(self, packet: Packet) -> None:
        """Take a packet."""
        receiver = self._ports.get(packet.destination.port)
        if receiver is not None and self.online:
            receiver(packet)
