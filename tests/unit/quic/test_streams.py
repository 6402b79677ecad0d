"""Streams: bytes arrive whole and in order, ends and resets where they belong."""

from __future__ import annotations

import hashlib
import random

import pytest

from p2p.defaults import QUIC_PACKET_BYTES_MAX
from p2p.errors import LocalProtocolError
from p2p.quic import EngineConfig
from tests.support.quic_world import World
from tests.unit.quic.conftest import MakeWorld


def pump(world: World, sender: str, size: int) -> tuple[int, bytes]:
    """Feed a stream of so many bytes from one side by its ``writable`` calls; returns stream and digest."""
    connection = getattr(world, sender)
    payload = random.Random(size).randbytes(size)
    stream_id = connection.open_stream()
    position = 0

    def feed() -> bool:
        nonlocal position
        if position >= size or connection.unsent_bytes(stream_id) > 65_536:
            return False
        chunk = payload[position : position + 65_536]
        position += len(chunk)
        connection.send(stream_id, chunk, end=position >= size)
        return True

    getattr(world, f"{sender}_handler").feed = feed
    connection.kick()
    return stream_id, hashlib.sha256(payload).digest()


def test_bulk_in_both_directions_arrives_whole(make: MakeWorld) -> None:
    world = make(bits_per_s=50e6, queue_bytes=200_000).connect()
    up_id, up_digest = pump(world, "client", 1_000_000)
    down_id, down_digest = pump(world, "server", 1_000_000)
    assert world.loop.run_for(
        20, until=lambda: up_id in world.server_handler.ended and down_id in world.client_handler.ended
    )
    assert hashlib.sha256(world.server_handler.data[up_id]).digest() == up_digest
    assert hashlib.sha256(world.client_handler.data[down_id]).digest() == down_digest
    assert world.up.sizes | world.down.sizes <= set(range(QUIC_PACKET_BYTES_MAX + 1))


def test_bulk_survives_loss(make: MakeWorld) -> None:
    world = make(bits_per_s=50e6, loss=0.02).connect()
    stream_id, digest = pump(world, "client", 500_000)
    assert world.loop.run_for(60, until=lambda: stream_id in world.server_handler.ended)
    assert hashlib.sha256(world.server_handler.data[stream_id]).digest() == digest


def test_larger_packets_when_asked(make: MakeWorld) -> None:
    world = make(config=EngineConfig(packet_bytes=1400, max_packet_bytes=1400), bits_per_s=100e6).connect()
    stream_id, digest = pump(world, "client", 500_000)
    assert world.loop.run_for(20, until=lambda: stream_id in world.server_handler.ended)
    assert hashlib.sha256(world.server_handler.data[stream_id]).digest() == digest
    # qh3's own framing stays some bytes below the size it is given.
    assert 1350 < max(world.up.sizes) <= 1400


def test_a_thousand_streams_at_once(make: MakeWorld) -> None:
    world = make(bits_per_s=100e6).connect()

    def echo(stream_id: int, data: bytes, end: bool) -> None:
        world.server.send(stream_id, data, end)

    world.server_handler.on_data = echo
    streams = [world.client.open_stream() for _ in range(1000)]
    for stream_id in streams:
        world.client.send(stream_id, b"%d" % stream_id)
    world.loop.run_for(5, until=lambda: len(world.client_handler.data) == 1000)
    for stream_id in streams:
        world.client.send(stream_id, b" done", end=True)
    assert world.loop.run_for(10, until=lambda: len(world.client_handler.ended) == 1000)
    assert all(world.client_handler.data[stream_id] == b"%d done" % stream_id for stream_id in streams)


def test_ten_thousand_streams_may_be_open(make_same: MakeWorld) -> None:
    world = make_same().connect()
    for _ in range(9_999):
        world.client.open_stream()
    last = world.client.open_stream()
    assert last == 4 * 9_999
    # The highest id opens all below it on the other side.
    world.client.send(last, b"here", end=True)
    assert world.loop.run_for(5, until=lambda: last in world.server_handler.ended)
    assert world.server_handler.data[last] == b"here"


def test_more_streams_over_time_than_may_be_open_at_once(make: MakeWorld) -> None:
    world = make(config=EngineConfig(max_streams=8)).connect()
    world.server_handler.on_data = lambda stream_id, data, end: world.server.send(stream_id, data, end)
    for number in range(100):
        stream_id = world.client.open_stream()
        world.client.send(stream_id, b"x", end=True)
        assert world.loop.run_for(5, until=lambda sid=stream_id: sid in world.client_handler.ended), number  # type: ignore[misc]


def test_each_direction_ends_on_its_own(make: MakeWorld) -> None:
    world = make().connect()
    stream_id = world.client.open_stream()
    world.client.send(stream_id, b"question", end=True)
    world.loop.run_for(1)
    assert stream_id in world.server_handler.ended
    world.server.send(stream_id, b"long ")
    world.loop.run_for(1)
    assert stream_id not in world.client_handler.ended
    world.server.send(stream_id, b"answer", end=True)
    world.loop.run_for(1)
    assert world.client_handler.data[stream_id] == b"long answer"
    assert stream_id in world.client_handler.ended


def test_an_end_may_come_alone(make: MakeWorld) -> None:
    world = make().connect()
    stream_id = world.client.open_stream()
    world.client.send(stream_id, b"", end=True)
    world.loop.run_for(1)
    assert stream_id in world.server_handler.ended


def test_a_reset_and_a_stop_reach_the_other_side(make: MakeWorld) -> None:
    world = make().connect()
    stream_id = world.client.open_stream()
    world.client.send(stream_id, b"some")
    world.loop.run_for(1)
    world.client.reset(stream_id, 42)
    world.client.stop(stream_id, 43)
    world.loop.run_for(1)
    assert world.server_handler.resets == [(stream_id, 42)]
    assert world.server_handler.stops == [(stream_id, 43)]
    # Both again, and on streams that never were, change nothing.
    world.client.reset(stream_id, 1)
    world.client.stop(stream_id, 1)
    world.server.stop(stream_id, 1)
    world.loop.run_for(1)
    assert not world.client_handler.errors
    assert not world.server_handler.errors


def test_writing_after_the_end_is_a_bug_of_the_caller(make: MakeWorld) -> None:
    world = make().connect()
    stream_id = world.client.open_stream()
    world.client.send(stream_id, b"all", end=True)
    with pytest.raises(LocalProtocolError):
        world.client.send(stream_id, b"more")
    world.loop.run_for(1)
    assert world.server_handler.data[stream_id] == b"all"


def test_unsent_bytes_tell_what_waits(make: MakeWorld) -> None:
    world = make(bits_per_s=1e6).connect()
    first, second = world.client.open_stream(), world.client.open_stream()
    world.client.send(first, bytes(300_000))
    world.client.send(second, bytes(10_000))
    world.loop.run_for(0.001)
    assert 200_000 < world.client.unsent_bytes(first) < 300_000
    assert world.client.unsent_bytes() > world.client.unsent_bytes(first)
    assert world.loop.run_for(60, until=lambda: world.client.unsent_bytes() == 0)


def test_a_window_bounds_what_is_under_way(make: MakeWorld) -> None:
    window = 256 << 10
    config = EngineConfig(connection_window_bytes=window, stream_window_bytes=window)
    world = make(config=config, delay_s=0.5).connect()
    stream_id, _ = pump(world, "client", 4_000_000)
    start = world.up.sent
    world.loop.run_for(10)
    # A window a round trip, however long the path has been without loss.
    packets_per_round_trip = window / 1100 * 1.1
    assert world.up.sent - start < packets_per_round_trip * 11
    assert len(world.server_handler.data[stream_id]) > window * 3
