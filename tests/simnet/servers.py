"""The servers of the simulated internet: one that tells the sender's address, and a relay."""

from __future__ import annotations

from collections.abc import Callable

from p2p.address import TransportAddress
from tests.simnet.world import Packet, World

REFLECTOR_QUESTION = b"?"
REFLECTOR_ANSWER = b"!"
FIRST_RELAY_PORT = 49_152

FromPeer = Callable[[TransportAddress, bytes], None]


class Reflector:
    """Answers each question with the address that it came from, as a STUN server does."""

    def __init__(self, world: World, host: str) -> None:
        self.address = TransportAddress(host, 3478)
        self._world = world
        world.attach(host, self)

    def receive(self, packet: Packet) -> None:
        if packet.data == REFLECTOR_QUESTION and packet.destination == self.address:
            self._world.send(Packet(self.address, packet.source, REFLECTOR_ANSWER + str(packet.source).encode()))


class Allocation:
    """One relayed address; the way between its owner and the relay is a reliable one, as over TCP.

    Args:
        relay: Where it is.
        address: The relayed address.
        from_peer: Gets what peers with a permission send.
    """

    def __init__(self, relay: Relay, address: TransportAddress, from_peer: FromPeer) -> None:
        self.relay = relay
        self.address = address
        self.from_peer = from_peer
        self.permissions: set[str] = set()
        self.connected = True

    def permit(self, peer: TransportAddress) -> None:
        """Let an IP address send to the relayed address."""
        self.permissions.add(peer.host)

    def send(self, destination: TransportAddress, data: bytes) -> None:
        """Have the relay send to a peer."""
        self.relay.forward(self, destination, data)


class Relay:
    """Hands out relayed addresses; only permitted IP addresses get through to their owners."""

    def __init__(self, world: World, host: str) -> None:
        self.host = host
        self.up = True
        self._world = world
        self._allocations: dict[int, Allocation] = {}
        world.attach(host, self)

    def allocate(self, from_peer: FromPeer) -> Allocation:
        """Make an allocation."""
        address = TransportAddress(self.host, FIRST_RELAY_PORT + len(self._allocations))
        allocation = Allocation(self, address, from_peer)
        self._allocations[address.port] = allocation
        return allocation

    def forward(self, allocation: Allocation, destination: TransportAddress, data: bytes) -> None:
        """Carry data from the owner of an allocation to a peer."""
        packet = Packet(allocation.address, destination, data)
        if not (allocation.connected and destination.host in allocation.permissions):
            return
        if destination.host == self.host:
            self._world.after(self._world.weather.delay_s, lambda: self.receive(packet))
        else:
            self._world.after(self._world.weather.delay_s, lambda: self._world.send(packet))

    def receive(self, packet: Packet) -> None:
        """Carry data from a peer to the owner of the allocation that it is for."""
        allocation = self._allocations.get(packet.destination.port)
        if allocation is None or not self.up or packet.source.host not in allocation.permissions:
            return

        def deliver() -> None:
            if allocation.connected:
                allocation.from_peer(packet.source, packet.data)

        self._world.after(self._world.weather.delay_s, deliver)
