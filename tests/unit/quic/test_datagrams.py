"""Unreliable datagrams: the size that fits, the queue that forgets, the window that holds them back."""

from __future__ import annotations

import pytest

from p2p.errors import LocalProtocolError
from p2p.quic import DatagramQueue, EngineConfig
from tests.unit.quic.conftest import MakeWorld


@pytest.mark.parametrize("packet_bytes", [1200, 1350, 1452])
def test_the_largest_datagram_fits_and_one_byte_more_is_refused(make: MakeWorld, packet_bytes: int) -> None:
    world = make(config=EngineConfig(packet_bytes=packet_bytes, max_packet_bytes=packet_bytes)).connect()
    size = world.client.max_datagram_payload
    assert size == packet_bytes - 30
    for connection, handler in ((world.client, world.server_handler), (world.server, world.client_handler)):
        connection.send_datagram(bytes(size))
        with pytest.raises(LocalProtocolError, match="at most"):
            connection.send_datagram(bytes(size + 1))
        connection.send_datagram(b"after")
        world.loop.run_for(1)
        assert handler.datagrams == [bytes(size), b"after"]
    stream_id = world.client.open_stream()
    world.client.send(stream_id, b"still alive", end=True)
    world.loop.run_for(1)
    assert stream_id in world.server_handler.ended
    assert max(world.up.sizes) <= packet_bytes


def test_the_largest_datagram_fits_late_in_a_connection(make: MakeWorld) -> None:
    """Packet numbers grow; were they written longer, a datagram that fitted once would stop the connection."""
    world = make(config=EngineConfig(packet_bytes=1200)).connect()
    size = world.client.max_datagram_payload
    for _ in range(300):
        world.client.send_datagram(b"small")
        world.loop.run_for(0.03)
    # Nothing of what follows is acknowledged, so that the numbers in flight spread.
    world.down.is_up = False
    for _ in range(300):
        world.client.send_datagram(b"small")
        world.loop.run_for(0.03)
    world.down.is_up = True
    world.client.path_up()
    world.loop.run_for(1)
    world.server_handler.datagrams.clear()
    world.client.send_datagram(bytes(size))
    world.loop.run_for(1)
    assert world.server_handler.datagrams == [bytes(size)]


def test_no_datagram_before_the_handshake(make: MakeWorld) -> None:
    world = make()
    assert world.client.max_datagram_payload == 0
    with pytest.raises(LocalProtocolError):
        world.client.send_datagram(b"early")


def test_more_than_the_path_carries_is_dropped_by_age_not_queued(make: MakeWorld) -> None:
    world = make(bits_per_s=10e6, queue_bytes=30_000).connect()
    for _ in range(300):
        for _ in range(4):
            world.client.send_datagram(bytes(1000))  # 32 Mbit/s
        world.loop.run_for(0.001)
    sent = 1200
    world.loop.run_for(2)
    delivered = len(world.server_handler.datagrams)
    assert delivered + world.client.datagrams_dropped + world.up.lost >= sent
    assert world.client.datagrams_dropped > 200
    # What arrives after the last one was given arrives soon: nothing waits for seconds.
    before = len(world.server_handler.datagrams)
    world.client.send_datagram(b"fresh")
    world.loop.run_for(0.1)
    assert world.server_handler.datagrams[before:] == [b"fresh"]


class Window:
    """As much of an engine as the queue sees."""

    def __init__(self, room: int) -> None:
        self.congestion_room_bytes = room
        self.max_datagram_payload = 1170
        self.sent: list[bytes] = []

    def send_datagram(self, data: bytes) -> None:
        self.sent.append(data)


@pytest.fixture
def queue() -> DatagramQueue:
    return DatagramQueue(max_datagrams=3, max_age_s=0.1)


def test_the_queue_keeps_order(queue: DatagramQueue) -> None:
    engine = Window(1 << 20)
    for data in (b"a", b"b", b"c"):
        queue.push(data, 0.0)
    queue.release(engine, 0.0)  # type: ignore[arg-type]
    assert engine.sent == [b"a", b"b", b"c"]
    assert not queue


def test_the_queue_drops_the_oldest_when_full(queue: DatagramQueue) -> None:
    engine = Window(1 << 20)
    for data in (b"a", b"b", b"c", b"d"):
        queue.push(data, 0.0)
    queue.release(engine, 0.0)  # type: ignore[arg-type]
    assert engine.sent == [b"b", b"c", b"d"]
    assert queue.dropped == 1


def test_the_queue_drops_what_waited_too_long(queue: DatagramQueue) -> None:
    engine = Window(1 << 20)
    queue.push(b"old", 0.0)
    queue.push(b"new", 0.05)
    queue.release(engine, 0.11)  # type: ignore[arg-type]
    assert engine.sent == [b"new"]
    assert queue.dropped == 1


def test_the_queue_holds_back_what_has_no_room(queue: DatagramQueue) -> None:
    engine = Window(0)
    queue.push(b"x", 0.0)
    queue.release(engine, 0.0)  # type: ignore[arg-type]
    assert engine.sent == []
    assert len(queue) == 1
    queue.clear()
    assert not queue


def test_what_has_become_too_large_while_it_waited_is_dropped(queue: DatagramQueue) -> None:
    engine = Window(room=10_000)
    queue.push(bytes(1100), 0.0)
    queue.push(b"small", 0.0)
    engine.max_datagram_payload = 1000
    queue.release(engine, 0.0)  # type: ignore[arg-type]
    assert engine.sent == [b"small"]
    assert queue.dropped == 1
