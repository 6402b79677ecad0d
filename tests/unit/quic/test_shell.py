"""The shell: sending in turns, links that are full, key changes."""

from __future__ import annotations

import hashlib

import pytest

from p2p.quic import EngineConfig
from p2p.quic import sender as shell
from tests.unit.quic.conftest import MakeWorld
from tests.unit.quic.test_streams import pump


def test_a_full_link_keeps_the_rest_in_order(make: MakeWorld) -> None:
    world = make().connect()
    world.up.capacity = 3
    stream_id, digest = pump(world, "client", 100_000)
    world.loop.run_for(0.05)
    assert world.up.capacity == 0
    lost_before = world.up.lost
    assert world.loop.run_for(0.5) is True
    while stream_id not in world.server_handler.ended:
        world.up.unblock(7)
        world.loop.run_for(0.03)
        assert world.loop.now < 1060
    assert hashlib.sha256(world.server_handler.data[stream_id]).digest() == digest
    assert world.up.lost == lost_before


def test_a_full_link_does_not_stop_time(make: MakeWorld) -> None:
    world = make(config=EngineConfig(idle_timeout_s=30.0)).connect()
    world.up.capacity = world.down.capacity = 0
    world.loop.run_for(60)
    assert [error.code for error in world.client_handler.errors] == ["P2P-4111"]
    world.up.unblock()
    world.loop.run_for(1)
    assert world.loop.pending == 0


def test_many_writes_make_one_transmission(make: MakeWorld) -> None:
    world = make().connect()
    stream_id = world.client.open_stream()
    before = world.up.sent
    for _ in range(100):
        world.client.send(stream_id, b"x")
    world.loop.run_for(0)
    assert world.up.sent - before == 1


def test_a_busy_sender_yields_to_the_loop(make: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "QUIC_POLL_PACKETS", 2)
    world = make().connect()
    pump(world, "client", 200_000)
    turns: list[int] = []

    def count() -> None:
        turns.append(world.up.sent)
        if len(turns) < 5:
            world.loop.call_soon(count)

    world.loop.call_soon(count)
    world.loop.run_for(0)
    assert len(turns) == 5, "others got their turn at the same instant"


def test_keys_change_under_a_transfer(make: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "QUIC_KEY_UPDATE_PACKETS", 100)
    world = make(bits_per_s=50e6, loss=0.01)
    requests = 0
    for end in (world.client, world.server):
        engine = end._engine
        real = engine.request_key_update

        def counted(real: object = real) -> None:
            nonlocal requests
            requests += 1
            real()  # type: ignore[operator]

        engine.request_key_update = counted  # type: ignore[method-assign]
    world.connect()
    up_id, up_digest = pump(world, "client", 700_000)
    down_id, down_digest = pump(world, "server", 700_000)
    assert world.loop.run_for(
        60, until=lambda: up_id in world.server_handler.ended and down_id in world.client_handler.ended
    ), (world.client_handler.errors, world.server_handler.errors)
    assert hashlib.sha256(world.server_handler.data[up_id]).digest() == up_digest
    assert hashlib.sha256(world.client_handler.data[down_id]).digest() == down_digest
    assert requests >= 8
