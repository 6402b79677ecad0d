"""Outages, silence and changes of path below a living connection."""

from __future__ import annotations

import hashlib

import pytest

from p2p.errors import ConnectivityError
from p2p.quic import EngineConfig
from tests.unit.quic.conftest import MakeWorld
from tests.unit.quic.test_streams import pump

IDLE_AFTER_30_S = EngineConfig(idle_timeout_s=30.0)


@pytest.mark.parametrize("outage_s", [5.0, 20.0])
def test_a_transfer_goes_on_right_after_an_outage(make: MakeWorld, outage_s: float) -> None:
    world = make(bits_per_s=20e6).connect()
    stream_id, digest = pump(world, "client", 1_500_000)
    world.loop.run_for(0.3)
    assert stream_id not in world.server_handler.ended
    world.set_up(False)
    world.loop.run_for(outage_s)
    world.set_up(True)
    before = len(world.server_handler.data[stream_id])
    world.client.path_up()
    world.server.path_up()
    # Without the kick the next probe would come after as long again.
    assert world.loop.run_for(0.5, until=lambda: len(world.server_handler.data[stream_id]) > before)
    assert world.loop.run_for(20, until=lambda: stream_id in world.server_handler.ended)
    assert hashlib.sha256(world.server_handler.data[stream_id]).digest() == digest


@pytest.mark.parametrize("changes", [1, 2])
def test_a_path_that_changes_during_an_outage_does_not_delay_its_end(make: MakeWorld, changes: int) -> None:
    world = make(delay_s=0.04, bits_per_s=100e6).connect()
    stream_id, _ = pump(world, "client", 30_000_000)
    world.loop.run_for(1.0)
    assert stream_id not in world.server_handler.ended
    world.set_up(False)
    for _ in range(changes):
        world.loop.run_for(1.0)
        world.client.path_changed()
    world.loop.run_for(20.0)
    world.set_up(True)
    before = len(world.server_handler.data[stream_id])
    world.client.path_up()
    assert world.loop.run_for(0.5, until=lambda: len(world.server_handler.data[stream_id]) > before)


def test_what_was_written_during_an_outage_arrives_after_it(make: MakeWorld) -> None:
    world = make().connect()
    world.set_up(False)
    stream_id = world.server.open_stream()
    world.server.send(stream_id, b"patience", end=True)
    world.loop.run_for(15)
    world.set_up(True)
    world.server.path_up()
    assert world.loop.run_for(0.3, until=lambda: stream_id in world.client_handler.ended)


def test_a_quiet_connection_is_kept_alive(make: MakeWorld) -> None:
    world = make().connect()
    world.loop.run_for(300)
    assert not world.client_handler.errors
    assert not world.server_handler.errors
    assert world.up.sent < 300


def test_without_keep_alive_a_quiet_connection_ends(make: MakeWorld) -> None:
    world = make(keep_alive_s=None, config=IDLE_AFTER_30_S).connect()
    world.loop.run_for(29)
    assert not world.client_handler.errors
    world.loop.run_for(5)
    for handler in (world.client_handler, world.server_handler):
        [error] = handler.errors
        assert isinstance(error, ConnectivityError)
        assert error.code == "P2P-4111"
    assert world.loop.pending == 0


def test_a_peer_that_vanished_is_noticed(make: MakeWorld) -> None:
    world = make(config=IDLE_AFTER_30_S).connect()
    world.set_up(False)
    world.loop.run_for(65)  # twice the time: a ping at its very end begins it anew. Source: RFC 9000 section 10.1
    assert [error.code for error in world.client_handler.errors] == ["P2P-4111"]
    assert [error.code for error in world.server_handler.errors] == ["P2P-4111"]
    assert world.loop.pending == 0


def test_a_change_to_a_slower_path_keeps_the_transfer_going(make: MakeWorld) -> None:
    """From a LAN at a gigabit to a relay at 20 Mbit/s and 40 ms: no seconds of silence."""
    world = make(delay_s=0.0005, bits_per_s=1e9).connect()
    stream_id, digest = pump(world, "client", 4_000_000)
    world.loop.run_for(0.02)
    assert stream_id not in world.server_handler.ended
    for link in (world.up, world.down):
        link.delay_s, link.bits_per_s, link.queue_bytes = 0.02, 20e6, 100_000
    world.client.path_changed()
    world.server.path_changed()
    received = len(world.server_handler.data[stream_id])
    while stream_id not in world.server_handler.ended and world.loop.now < 1005:
        world.loop.run_for(0.5)
        now_received = len(world.server_handler.data[stream_id])
        assert now_received > received, f"silence at {world.loop.now}"
        received = now_received
    assert world.loop.run_for(60, until=lambda: stream_id in world.server_handler.ended)
    assert hashlib.sha256(world.server_handler.data[stream_id]).digest() == digest


def test_a_change_to_a_faster_path_uses_it(make: MakeWorld) -> None:
    world = make(delay_s=0.04, bits_per_s=5e6, queue_bytes=60_000).connect()
    stream_id, _ = pump(world, "client", 4_000_000)
    world.loop.run_for(1.5)
    for link in (world.up, world.down):
        link.delay_s, link.bits_per_s, link.queue_bytes = 0.005, 200e6, 1 << 20
    world.client.path_changed()
    world.server.path_changed()
    assert world.loop.run_for(3, until=lambda: stream_id in world.server_handler.ended), len(
        world.server_handler.data[stream_id]
    )


def test_path_news_before_the_start_and_after_the_end_are_ignored(make: MakeWorld) -> None:
    world = make()
    world.client.path_changed()
    world.client.path_up()
    world.connect()
    world.client.close(0, "")
    world.client.path_changed()
    world.client.path_up()


@pytest.mark.parametrize("wait_s", [0.1, 3.0])
def test_a_path_that_comes_up_after_the_start_is_used_at_once(make: MakeWorld, wait_s: float) -> None:
    """The client's first packets went nowhere; its own timers would try again after up to as long again."""
    world = make(delay_s=0.01)
    world.set_up(False)
    world.server.start()
    world.client.start()
    world.loop.run_for(wait_s)
    world.set_up(True)
    world.client.path_up()
    assert world.loop.run_for(0.05, until=world.is_connected)
    assert world.client.stats.smoothed_rtt_s == pytest.approx(0.02, abs=0.005)
    stream_id, digest = pump(world, "client", 100_000)
    assert world.loop.run_for(5, until=lambda: stream_id in world.server_handler.ended)
    assert hashlib.sha256(world.server_handler.data[stream_id]).digest() == digest
