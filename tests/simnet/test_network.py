"""The simulator itself: NATs must do what their description says, or the matrix proves nothing."""

from __future__ import annotations

import pytest

from p2p.address import TransportAddress
from tests.simnet.nat import FIRST_PORT, Allocator, Dependence, Host, Nat, NatBehaviour
from tests.simnet.servers import Reflector, Relay
from tests.simnet.world import Packet, Weather, World

OUTSIDE = "192.0.2.1"


class Scene:
    def __init__(self, behaviour, weather=None):
        self.world = World(1, weather)
        self.nat = Nat(self.world, OUTSIDE, behaviour)
        self.inside = Host(self.world, "10.0.0.2", self.nat)
        self.local = self.inside.bind(5000, lambda packet: self.got.append(packet))
        self.got = []
        self.remotes = {name: Host(self.world, f"203.0.113.{number}") for number, name in enumerate("abc", 1)}
        self.seen = []

    def send(self, name, port):
        """Send from inside; return the outside address that was seen."""
        remote = self.remotes[name].bind(port, self.seen.append)
        self.inside.send(5000, remote, b"out")
        self.world.run_for(0.1)
        return self.seen[-1].source

    def gets(self, name, port, destination):
        """Whether a packet from outside comes in."""
        before = len(self.got)
        self.remotes[name].bind(port, self.seen.append)
        self.remotes[name].send(port, destination, b"in")
        self.world.run_for(0.1)
        return len(self.got) > before


@pytest.mark.parametrize(
    ("mapping", "distinct"), [(Dependence.INDEPENDENT, 1), (Dependence.ADDRESS, 2), (Dependence.ADDRESS_AND_PORT, 3)]
)
@pytest.mark.parametrize("allocator", list(Allocator))
def test_mapping(mapping, distinct, allocator):
    scene = Scene(NatBehaviour(mapping, allocator=allocator))
    seen = [scene.send("a", 1), scene.send("a", 2), scene.send("b", 1), scene.send("a", 1)]
    assert len(set(seen)) == distinct
    assert seen[0] == seen[-1]


@pytest.mark.parametrize(
    ("filtering", "allowed"),
    [
        (Dependence.INDEPENDENT, [True, True, True]),
        (Dependence.ADDRESS, [True, True, False]),
        (Dependence.ADDRESS_AND_PORT, [True, False, False]),
    ],
)
def test_filtering(filtering, allowed):
    scene = Scene(NatBehaviour(filtering=filtering))
    outside = scene.send("a", 1)
    assert [scene.gets(name, port, outside) for name, port in (("a", 1), ("a", 2), ("b", 1))] == allowed


def test_allocators():
    ports = {
        allocator: [
            scene.send("abc"[number], 1).port
            for scene in [Scene(NatBehaviour(Dependence.ADDRESS, allocator=allocator))]
            for number in range(3)
        ]
        for allocator in Allocator
    }
    assert ports[Allocator.PRESERVING] == [5000, FIRST_PORT, FIRST_PORT + 1]
    assert ports[Allocator.SEQUENTIAL] == [FIRST_PORT, FIRST_PORT + 1, FIRST_PORT + 2]
    assert len(set(ports[Allocator.RANDOM])) == 3


def test_lifetime_and_reboot():
    scene = Scene(NatBehaviour(allocator=Allocator.RANDOM, lifetime_s=30))
    outside = scene.send("a", 1)
    scene.world.run_for(29)
    assert scene.gets("a", 1, outside)
    scene.world.run_for(31)
    assert not scene.gets("a", 1, outside)
    renewed = scene.send("a", 1)
    assert renewed != outside
    scene.nat.reboot(host="192.0.2.99")
    assert not scene.gets("a", 1, renewed)
    assert scene.send("a", 1).host == "192.0.2.99"


@pytest.mark.parametrize("hairpin", [True, False])
def test_hairpin_and_neighbours(hairpin):
    scene = Scene(NatBehaviour(hairpin=hairpin))
    other = Host(scene.world, "10.0.0.3", scene.nat)
    got = []
    other.bind(6000, got.append)
    outside = scene.send("a", 1)
    other.send(6000, outside, b"hairpin")
    scene.world.run_for(0.1)
    assert [packet.source.host for packet in scene.got] == ([OUTSIDE] if hairpin else [])
    scene.inside.send(5000, TransportAddress("10.0.0.3", 6000), b"neighbour")
    scene.world.run_for(0.1)
    assert [packet.source for packet in got] == [scene.local]


def test_udp_blocked():
    scene = Scene(NatBehaviour(udp_blocked=True))
    scene.remotes["a"].bind(1, scene.seen.append)
    scene.inside.send(5000, TransportAddress("203.0.113.1", 1), b"out")
    scene.world.run_for(1)
    assert scene.seen == []


def test_weather():
    weather = Weather(delay_s=0.05, jitter_s=0.05, loss=0.2)
    world = World(3, weather)
    one, other = Host(world, "192.0.2.1"), Host(world, "192.0.2.2")
    got = []
    destination = other.bind(1, lambda packet: got.append((world.now, packet.data)))
    for number in range(1000):
        world.at(number / 1000, lambda number=number: one.send(1, destination, number.to_bytes(2, "big")))
    world.run_for(5)
    assert 750 < len(got) < 850
    assert [data for _, data in got] != sorted(data for _, data in got)
    delays = [at - int.from_bytes(data, "big") / 1000 for at, data in got]
    assert min(delays) >= 0.05
    assert max(delays) <= 0.1 + 1e-9
    weather.cut.add(frozenset(("192.0.2.1", "192.0.2.2")))
    one.send(1, destination, b"cut")
    world.run_for(1)
    assert got[-1][1] != b"cut"


def test_reflector():
    world = World()
    reflector = Reflector(world, "203.0.113.9")
    host = Host(world, "192.0.2.1")
    got = []
    host.bind(7, got.append)
    host.send(7, reflector.address, b"?")
    world.run_for(1)
    assert got == [Packet(reflector.address, TransportAddress("192.0.2.1", 7), b"!192.0.2.1:7")]


def test_relay_wants_permission_both_ways():
    world = World()
    relay = Relay(world, "203.0.113.9")
    peer = Host(world, "192.0.2.1")
    at_peer, at_owner = [], []
    address = peer.bind(7, at_peer.append)
    allocation = relay.allocate(lambda source, data: at_owner.append((source, data)))
    allocation.send(address, b"out")
    peer.send(7, allocation.address, b"in")
    world.run_for(1)
    assert (at_peer, at_owner) == ([], [])
    allocation.permit(TransportAddress("192.0.2.1", 1))
    allocation.send(address, b"out")
    peer.send(7, allocation.address, b"in")
    world.run_for(1)
    assert [packet.source for packet in at_peer] == [allocation.address]
    assert at_owner == [(address, b"in")]


def test_two_allocations_of_one_relay_reach_each_other():
    world = World()
    relay = Relay(world, "203.0.113.9")
    got = []
    one = relay.allocate(lambda source, data: None)
    other = relay.allocate(lambda source, data: got.append((source, data)))
    one.permit(other.address)
    other.permit(one.address)
    one.send(other.address, b"hello")
    world.run_for(1)
    assert got == [(one.address, b"hello")]
