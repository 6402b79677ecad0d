"""A NAT and a STUN server in memory, for tests of behaviour discovery with a fake clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count

from p2p.address import TransportAddress
from p2p.proto.stun.behaviour import BehaviourDiscovery, BehaviourEvent, SocketDatagram
from p2p.proto.stun.nat import FilteringBehaviour, MappingBehaviour
from p2p.proto.stun.responder import BindingResponder

EXTERNAL_HOST = "203.0.113.1"
SERVER = [TransportAddress(host, port) for host in ("198.51.100.10", "198.51.100.20") for port in (3478, 3479)]
LOCAL = [TransportAddress("192.168.1.2", 40000 + number) for number in range(BehaviourDiscovery.SOCKETS)]


def transaction_ids() -> Callable[[int], bytes]:
    """Give different bytes at each call, the same in each run."""
    numbers = count(1)
    return lambda size: next(numbers).to_bytes(size, "big")


@dataclass
class NatBox:
    """A NAT between two inner sockets and the servers of ``SERVER``.

    Attributes:
        mapping: UNKNOWN means that nothing is translated.
        filtering: UNKNOWN means that nothing gets through.
        next_port: Gives the port of a new mapping from the inner one.
        hairpin: Whether inner sockets reach each other by their mapped addresses.
        taken: Says how many ports others take before a new mapping.
    """

    mapping: MappingBehaviour
    filtering: FilteringBehaviour
    next_port: Callable[[int], int] = field(default=lambda port: port + 1000)
    hairpin: bool = False
    taken: Callable[[], int] = field(default=lambda: 0)
    _mapped: dict[tuple[object, ...], TransportAddress] = field(default_factory=dict)
    _inner: dict[TransportAddress, int] = field(default_factory=dict)
    _sent: set[tuple[TransportAddress, TransportAddress]] = field(default_factory=set)

    def outbound(self, socket: int, destination: TransportAddress) -> TransportAddress:
        """Translate the source of a packet that goes out."""
        key: tuple[object, ...] = (socket,)
        if self.mapping is MappingBehaviour.ADDRESS_DEPENDENT:
            key += (destination.host,)
        elif self.mapping is MappingBehaviour.ADDRESS_AND_PORT_DEPENDENT:
            key += (destination,)
        if key not in self._mapped:
            if self.mapping is MappingBehaviour.UNKNOWN:
                self._mapped[key] = LOCAL[socket]
            else:
                for _ in range(self.taken()):
                    self.next_port(0)
                self._mapped[key] = TransportAddress(EXTERNAL_HOST, self.next_port(LOCAL[socket].port))
            self._inner[self._mapped[key]] = socket
        self._sent.add((self._mapped[key], destination))
        return self._mapped[key]

    def inbound(self, source: TransportAddress, destination: TransportAddress) -> int | None:
        """Return the inner socket that gets a packet, or None."""
        socket = self._inner.get(destination)
        if socket is None or self.filtering is FilteringBehaviour.UNKNOWN:
            return None
        contacted = [to for mapped, to in self._sent if mapped == destination]
        if self.filtering is FilteringBehaviour.ADDRESS_DEPENDENT and source.host not in {to.host for to in contacted}:
            return None
        if self.filtering is FilteringBehaviour.ADDRESS_AND_PORT_DEPENDENT and source not in contacted:
            return None
        return socket


def discover(
    nat: NatBox,
    servers: list[TransportAddress] = SERVER,
    *,
    asked: list[TransportAddress] | None = None,
    reachable: list[TransportAddress] | None = None,
    round_trip_s: float | Callable[[], float] = 0.04,
    lost: Callable[[int], bool] = lambda number: False,
) -> tuple[list[BehaviourEvent], float]:
    """Run a discovery to its end.

    Args:
        nat: What is between.
        servers: The server's sockets.
        asked: What the client is told of them; the first when None.
        reachable: Those of the server's sockets that packets reach, and leave; all when None.
        round_trip_s: Between client and server, in seconds; or what tells that of the next answer.
        lost: Says which packets, counted from 0 in both directions, are lost.

    Returns:
        The events, and how long it took.
    """
    responder = BindingResponder(servers)
    machine = BehaviourDiscovery(asked or servers[:1], LOCAL, transaction_ids())
    arrivals: list[tuple[float, int, TransportAddress, bytes]] = []
    number = count()
    now = 0.0

    def delivered(sent: SocketDatagram) -> Iterator[tuple[float, int, TransportAddress, bytes]]:
        source = nat.outbound(sent.socket, sent.destination)
        if lost(next(number)):
            return
        if sent.destination.host == EXTERNAL_HOST:
            inner = nat.inbound(source, sent.destination) if nat.hairpin else None
            if inner is not None:
                yield now + 0.001, inner, source, sent.data
            return
        reply = responder.respond(sent.data, source, sent.destination) if sent.destination in servers else None
        if reply is None or not {sent.destination, reply.local} <= {*(reachable or servers)} or lost(next(number)):
            return
        inner = nat.inbound(reply.local, reply.destination)
        if inner is not None:
            yield (
                now + (round_trip_s if isinstance(round_trip_s, float) else round_trip_s()),
                inner,
                reply.local,
                reply.data,
            )

    machine.start(now)
    events = []
    while True:
        for sent in machine.datagrams_to_send(now):
            arrivals.extend(delivered(sent))
        while (event := machine.next_event()) is not None:
            events.append(event)
        timer = machine.get_timer()
        if timer is None:
            return events, now
        arrivals.sort(key=lambda arrival: arrival[0])
        if arrivals and arrivals[0][0] <= timer:
            now, socket, source, data = arrivals.pop(0)
            machine.receive_datagram(data, source, now, socket)
        else:
            now = timer
            machine.handle_timer(now)
