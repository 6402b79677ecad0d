"""Packets that become longer and shorter while a connection lives."""

from __future__ import annotations

import hashlib

import pytest

from p2p.defaults import QUIC_NARROW_AFTER_S
from p2p.quic import EngineConfig, load_engine
from p2p.quic.packet_size import PacketSize
from tests.support.quic_credentials import credentials, public_key
from tests.support.quic_world import VirtualLoop, World, make_world
from tests.unit.quic.conftest import MakeWorld
from tests.unit.quic.test_streams import pump


def both(world: World, size: int, *, longer: bool) -> None:
    for end in (world.client, world.server):
        engine = end._engine
        (engine.lengthen_packets if longer else engine.shorten_packets)(size)


def carry(world: World, most: int) -> None:
    """Let the links drop what is longer."""
    for link in (world.up, world.down):
        link.tap = lambda data: data if len(data) <= most else None


def both_ways(world: World, within_s: float) -> set[int]:
    """Move data in both directions; returns the sizes of the packets."""
    world.up.sizes.clear()
    world.down.sizes.clear()
    up_id, up_digest = pump(world, "client", 1_000_000)
    down_id, down_digest = pump(world, "server", 1_000_000)
    assert world.loop.run_for(
        within_s, until=lambda: up_id in world.server_handler.ended and down_id in world.client_handler.ended
    )
    assert hashlib.sha256(world.server_handler.data[up_id]).digest() == up_digest
    assert hashlib.sha256(world.client_handler.data[down_id]).digest() == down_digest
    return world.up.sizes | world.down.sizes


def test_packets_are_as_long_as_a_wide_path_allows(make: MakeWorld) -> None:
    world = make(bits_per_s=100e6).connect()
    both(world, 1452, longer=True)
    world.loop.run_for(0.5)
    assert 1400 < max(both_ways(world, 5)) <= 1452
    assert world.client.stats.packet_bytes == world.server.stats.packet_bytes == 1452


@pytest.mark.parametrize("size", [1352, 1200])
def test_packets_become_shorter_at_once_and_what_is_lost_is_sent_again(make: MakeWorld, size: int) -> None:
    world = make(bits_per_s=100e6).connect()
    both(world, 1452, longer=True)
    world.loop.run_for(0.5)
    stream_id, digest = pump(world, "server", 2_000_000)
    world.loop.run_for(0.1)
    assert 0 < len(world.client_handler.data[stream_id]) < 2_000_000
    carry(world, size)
    both(world, size, longer=False)
    received = len(world.client_handler.data[stream_id])
    for end in (world.client, world.server):
        end.path_up()
    world.loop.run_for(0.5)
    assert len(world.client_handler.data[stream_id]) > received
    assert world.loop.run_for(5, until=lambda: stream_id in world.client_handler.ended)
    assert hashlib.sha256(world.client_handler.data[stream_id]).digest() == digest
    assert size - 60 < max(both_ways(world, 5)) <= size
    assert world.client.stats.guarded_errors == world.server.stats.guarded_errors == 0


def test_an_upload_that_never_pauses_gets_long_packets_too() -> None:
    engine = load_engine("qh3")
    world = make_world(engine, engine, credentials(), public_key(), bits_per_s=100e6)
    client = world.client
    streams: list[int] = []

    def feed() -> bool:
        if client.unsent_bytes() >= 1 << 17:
            return False
        client.send(streams[0], bytes(1 << 16))
        return True

    def begin() -> None:
        streams.append(client.open_stream())
        world.client_handler.feed = feed
        client.kick()

    world.client_handler.on_connected = begin
    world.connect()
    world.loop.run_for(0.5)
    assert client.stats.packet_bytes == 1452
    # And the path is as full as before.
    before = len(world.server_handler.data[streams[0]])
    world.loop.run_for(1)
    assert len(world.server_handler.data[streams[0]]) - before > 10_000_000


def test_only_aioquic_makes_longer_ones_again() -> None:
    for name, back in (("qh3", 1200), ("aioquic", 1452)):
        engine = load_engine(name)
        world = make_world(engine, engine, credentials(), public_key()).connect()
        both(world, 1200, longer=False)
        both(world, 1452, longer=True)
        world.loop.run_for(1)
        assert (world.client.stats.packet_bytes, world.server.stats.packet_bytes) == (back, back)


def test_the_handshake_pads_to_what_every_path_carries(make: MakeWorld) -> None:
    world = make()
    both(world, 1452, longer=True)
    world.connect()
    assert 1200 in world.up.sizes
    assert world.client_handler.connected_at == pytest.approx(1000.02, abs=0.02)


def test_the_largest_datagram_still_fits_when_packets_have_become_shorter(make: MakeWorld) -> None:
    world = make().connect()
    both(world, 1452, longer=True)
    world.loop.run_for(0.5)
    size = world.client.max_datagram_payload
    for end in (world.client, world.server):
        end.send_datagram(bytes(size))
    both(world, 1200, longer=False)
    world.loop.run_for(0.5)
    assert world.server_handler.datagrams == world.client_handler.datagrams == [bytes(size)]


def test_losses_are_told_to_the_link(make: MakeWorld) -> None:
    world = make(bits_per_s=100e6).connect()
    both(world, 1452, longer=True)
    world.loop.run_for(0.5)
    both_ways(world, 5)
    told = (world.up.losses_told, world.down.losses_told)
    carry(world, 1300)
    pump(world, "client", 100_000)
    pump(world, "server", 100_000)
    world.loop.run_for(0.3)
    assert world.up.losses_told > told[0]
    assert world.down.losses_told > told[1]


def test_a_limit_of_its_own_is_kept() -> None:
    engine = load_engine("qh3")
    config = EngineConfig(max_packet_bytes=1352)
    world = make_world(engine, engine, credentials(), public_key(), config=config).connect()
    world.loop.run_for(1)
    assert max(both_ways(world, 5)) <= 1352


class Packets:
    """As much of an engine as ``PacketSize`` sees."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []

    def lengthen_packets(self, size: int) -> None:
        self.calls.append(("longer", size))

    def shorten_packets(self, size: int) -> None:
        self.calls.append(("shorter", size))


def test_longer_ones_come_at_once_and_shorter_ones_when_the_path_stays_narrow() -> None:
    loop, engine = VirtualLoop(), Packets()
    narrowed: list[float] = []
    size = PacketSize(loop, engine, on_narrowed=lambda: narrowed.append(loop.now))  # type: ignore[arg-type]
    size.follow(1200)
    loop.run_for(QUIC_NARROW_AFTER_S / 2)
    size.follow(1452)
    loop.run_for(QUIC_NARROW_AFTER_S * 2)
    assert engine.calls == [("longer", 1200), ("longer", 1452)]
    size.follow(1200)
    size.follow(1352)
    loop.run_for(QUIC_NARROW_AFTER_S * 2)
    assert engine.calls[2:] == [("longer", 1200), ("longer", 1352), ("shorter", 1352)]
    size.follow(1200)
    size.close()
    loop.run_for(QUIC_NARROW_AFTER_S * 2)
    assert engine.calls[5:] == [("longer", 1200)]
    assert loop.pending == 0
    assert len(narrowed) == 2
