"""All pairings of engines over real loopback sockets."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
import uvloop

from p2p.errors import IdentityError
from p2p.identity import proof
from p2p.quic import ENGINE_NAMES, ConnectionClosedError, EngineConfig, load_engine
from tests.support.quic_credentials import credentials, identity, public_key
from tests.support.quic_sockets import Pair, eventually, socket_pair

PAIRINGS = [(client, server) for client in ENGINE_NAMES for server in ENGINE_NAMES]
Connect = Callable[..., AbstractAsyncContextManager[Pair]]


@pytest.fixture(params=PAIRINGS, ids=[f"{client}-{server}" for client, server in PAIRINGS])
def connect(request: pytest.FixtureRequest) -> Connect:
    """Opens a pair of each pairing of engines in turn."""
    client, server = request.param

    def open_pair(**options: Any) -> AbstractAsyncContextManager[Pair]:
        return socket_pair(load_engine(client), load_engine(server), credentials(), public_key(), **options)

    return open_pair


def is_connected(pair: Pair) -> bool:
    return pair.client_handler.connected_at is not None and pair.server_handler.connected_at is not None


def feed(pair: Pair, side: str, size: int) -> tuple[int, str]:
    """Feed a stream from one side; returns its id and the digest of what goes in."""
    connection, handler = getattr(pair, side), getattr(pair, f"{side}_handler")
    stream_id = connection.open_stream()
    chunk = bytes(range(256)) * 512
    left = size

    def writable() -> bool:
        nonlocal left
        if not left or connection.unsent_bytes(stream_id) > len(chunk):
            return False
        piece = chunk[: min(left, len(chunk))]
        left -= len(piece)
        connection.send(stream_id, piece, end=not left)
        return True

    handler.feed = writable
    connection.kick()
    full, rest = divmod(size, len(chunk))
    expected = hashlib.sha256(chunk * full + chunk[:rest]).hexdigest()
    return stream_id, expected


async def test_a_handshake_is_quick(connect: Connect) -> None:
    # The first one imports and warms up; a stall of the handshake's timers would be 0.2 s or more.
    fastest = 10.0
    for _ in range(3):
        started_at = time.perf_counter()
        async with connect() as pair:
            await eventually(lambda pair=pair: is_connected(pair))  # type: ignore[misc]
            fastest = min(fastest, time.perf_counter() - started_at)
    assert fastest < 0.15


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_bulk_in_both_directions(connect: Connect, host: str) -> None:
    async with connect(host=host, config=EngineConfig(packet_bytes=1350)) as pair:
        await eventually(lambda: is_connected(pair))
        up_id, up_digest = feed(pair, "client", 5_000_000)
        down_id, down_digest = feed(pair, "server", 5_000_000)
        await eventually(
            lambda: up_id in pair.server_handler.ended and down_id in pair.client_handler.ended, seconds=30
        )
        assert hashlib.sha256(pair.server_handler.data[up_id]).hexdigest() == up_digest
        assert hashlib.sha256(pair.client_handler.data[down_id]).hexdigest() == down_digest
        assert pair.client.stats.guarded_errors == pair.server.stats.guarded_errors == 0


async def test_a_thousand_streams_at_once(connect: Connect) -> None:
    async with connect() as pair:
        await eventually(lambda: is_connected(pair))
        pair.server_handler.on_data = lambda stream_id, data, end: pair.server.send(stream_id, data, end)
        streams = [pair.client.open_stream() for _ in range(1000)]
        for stream_id in streams:
            pair.client.send(stream_id, b"%d" % stream_id)
        await eventually(lambda: len(pair.client_handler.data) == 1000, seconds=30)
        for stream_id in streams:
            pair.client.send(stream_id, b"!", end=True)
        await eventually(lambda: len(pair.client_handler.ended) == 1000, seconds=30)
        assert all(pair.client_handler.data[stream_id] == b"%d!" % stream_id for stream_id in streams)


async def test_datagrams_pass_both_ways(connect: Connect) -> None:
    async with connect() as pair:
        await eventually(lambda: is_connected(pair))
        size = pair.client.max_datagram_payload
        pair.client.send_datagram(bytes(size))
        pair.server.send_datagram(bytes(size))
        await eventually(lambda: len(pair.client_handler.datagrams) + len(pair.server_handler.datagrams) == 2)


async def test_resets_and_half_close(connect: Connect) -> None:
    async with connect() as pair:
        await eventually(lambda: is_connected(pair))
        stream_id = pair.client.open_stream()
        pair.client.send(stream_id, b"question", end=True)
        await eventually(lambda: stream_id in pair.server_handler.ended)
        pair.server.reset(stream_id, 9)
        await eventually(lambda: pair.client_handler.resets == [(stream_id, 9)])


async def test_a_reason_arrives(connect: Connect) -> None:
    async with connect() as pair:
        await eventually(lambda: is_connected(pair))
        pair.server.close(12, "maintenance")
        await eventually(lambda: bool(pair.client_handler.errors))
        [error] = pair.client_handler.errors
        assert isinstance(error, ConnectionClosedError)
        assert (error.close_code, error.reason) == (12, "maintenance")


async def test_a_transfer_survives_an_outage(connect: Connect) -> None:
    async with connect() as pair:
        await eventually(lambda: is_connected(pair))
        stream_id, digest = feed(pair, "client", 4_000_000)
        await eventually(lambda: len(pair.server_handler.data.get(stream_id, b"")) > 200_000)
        pair.set_up(False)
        await asyncio.sleep(1.5)
        received = len(pair.server_handler.data[stream_id])
        pair.set_up(True)
        pair.client.path_up()
        pair.server.path_up()
        started_at = time.perf_counter()
        await eventually(lambda: len(pair.server_handler.data[stream_id]) > received or not received)
        assert time.perf_counter() - started_at < 2.0
        await eventually(lambda: stream_id in pair.server_handler.ended, seconds=30)
        assert hashlib.sha256(pair.server_handler.data[stream_id]).hexdigest() == digest


@pytest.mark.parametrize(("client", "server"), PAIRINGS)
async def test_a_man_in_the_middle_is_refused(client: str, server: str) -> None:
    async with socket_pair(load_engine(client), load_engine(server), credentials(1), public_key(0)) as pair:
        await eventually(lambda: bool(pair.client_handler.errors))
        assert isinstance(pair.client_handler.errors[0], IdentityError)
        assert pair.client_handler.connected_at is None
        assert not pair.server_handler.data


async def test_the_client_proves_itself_in_the_first_message(connect: Connect) -> None:
    async with connect() as pair:
        server_id = identity(0).peer_id
        await eventually(lambda: is_connected(pair))
        stream_id = pair.client.open_stream()
        pair.client.send(stream_id, proof.make(identity(3), pair.client.channel_binding(), server_id))
        await eventually(lambda: len(pair.server_handler.data.get(stream_id, b"")) == proof.PROOF_BYTES)
        received = bytes(pair.server_handler.data[stream_id])
        assert proof.verify(received, pair.server.channel_binding(), server_id) == identity(3).peer_id
        with pytest.raises(IdentityError):
            proof.verify(received, hashlib.sha256(b"another session").digest(), server_id)


def test_it_runs_on_uvloop() -> None:
    async def transfer() -> None:
        async with socket_pair(load_engine("qh3"), load_engine("aioquic"), credentials(), public_key()) as pair:
            await eventually(lambda: is_connected(pair))
            stream_id, digest = feed(pair, "client", 1_000_000)
            await eventually(lambda: stream_id in pair.server_handler.ended)
            assert hashlib.sha256(pair.server_handler.data[stream_id]).hexdigest() == digest

    uvloop.run(transfer())
