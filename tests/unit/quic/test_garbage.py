"""Whatever arrives: no exception escapes, and the connection lives."""

from __future__ import annotations

import random

import pytest

from p2p.quic import EngineConfig, load_engine
from tests.support.quic_credentials import credentials
from tests.unit.quic.conftest import PAIRINGS, MakeWorld

MUTATIONS_PER_PAIRING = 7_500


def mutate(rng: random.Random, data: bytes) -> bytes:
    """Change a datagram the way a hostile or broken network would."""
    changed = bytearray(data)
    kind = rng.randrange(6)
    if kind == 0:
        for _ in range(rng.randint(1, 8)):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
    elif kind == 1:
        del changed[rng.randrange(len(changed)) :]
    elif kind == 2:
        changed += rng.randbytes(rng.randrange(100))
    elif kind == 3:
        start = rng.randrange(len(changed))
        del changed[start : start + rng.randint(1, 20)]
    elif kind == 4:
        changed[0] = rng.randrange(256)
    else:
        changed = bytearray(rng.randbytes(rng.randint(1, 1300)))
    return bytes(changed)


def test_thousands_of_mutated_datagrams_leave_a_connection_alive(make: MakeWorld) -> None:
    world = make()
    seen: list[bytes] = []
    world.up.tap = lambda data: (seen.append(data), data)[1]
    rng = random.Random(7)
    world.connect()
    stream_id = world.client.open_stream()
    for _ in range(20):
        world.client.send(stream_id, rng.randbytes(3000))
        world.client.send_datagram(rng.randbytes(500))
        world.loop.run_for(0.01)
    world.up.tap = lambda data: data
    server = world.server
    for number in range(MUTATIONS_PER_PAIRING):
        data = mutate(rng, rng.choice(seen))
        if data:
            # Past the router, which would drop most of it.
            server.receive(data, len(data), world.loop.now)
        if number % 500 == 0:
            server.after_receive(world.loop.now)
            world.loop.run_for(0.01)
    server.after_receive(world.loop.now)
    world.client.send(stream_id, b"the end", end=True)
    assert world.loop.run_for(5, until=lambda: stream_id in world.server_handler.ended)
    assert world.server_handler.data[stream_id].endswith(b"the end")
    assert not world.client_handler.errors
    assert not world.server_handler.errors


@pytest.mark.parametrize(("client", "server"), PAIRINGS)
def test_mutated_first_packets_raise_nothing(client: str, server: str) -> None:
    client_engine, server_engine = load_engine(client), load_engine(server)
    rng = random.Random(9)
    for number in range(30):
        connection = client_engine.client(EngineConfig())
        connection.start(1.0)
        packets = connection.poll(1.0, 64)
        target = server_engine.server(EngineConfig(), credentials(), connection.initial_destination_cid)
        for packet in packets:
            data = mutate(rng, packet) or b"\0"
            target.receive(data, len(data), 1.0)
        target.poll(1.0, 64)
        target.get_timer()
        target.handle_timer(1.5 + number)
        while target.next_event() is not None:
            pass


def test_batches_with_garbage_in_them_keep_the_good_datagrams(make: MakeWorld) -> None:
    world = make().connect()
    held: list[bytes] = []
    world.up.tap = lambda data: held.append(data)  # type: ignore[func-returns-value]
    for number in range(5):
        world.client.send_datagram(b"%d" % number * 200)
        world.loop.run_for(0.001)
    size = len(held[0])
    assert {len(data) for data in held} == {size}
    batch = b"".join(
        [held[0], bytes([0x40]) + bytes(size - 1), held[1], bytes([0xC0]) + b"\xff" * (size - 1), *held[2:]]
    )
    now = world.loop.now
    world.server.receive(batch, size, now)
    world.server.after_receive(now)
    world.loop.run_for(0.01)
    assert len(world.server_handler.datagrams) == 5
