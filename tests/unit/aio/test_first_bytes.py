"""Reading the beginning of a connection, and not a byte too far."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest

from p2p.address import TransportAddress
from p2p.aio.first_bytes import peek, read_proxy_header
from p2p.errors import DecodeError
from p2p.proto.proxy_protocol import ProxyHeader, encode_v1, encode_v2

HEADER = ProxyHeader(TransportAddress("203.0.113.7", 4000), TransportAddress("198.51.100.1", 443))
FOLLOWS = b"\x16\x03\x01 a TLS handshake\r\n"


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair()
    with near, far:
        near.setblocking(False)
        yield near, far


@pytest.mark.parametrize("encode", [encode_v1, encode_v2])
@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_a_header_in_pieces_is_taken_and_nothing_more(ends, encode, size) -> None:
    near, far = ends
    reading = asyncio.get_running_loop().create_task(read_proxy_header(near))
    data = encode(HEADER) + FOLLOWS
    for at in range(0, len(data), size):
        await asyncio.sleep(0)
        far.send(data[at : at + size])
    async with asyncio.timeout(5):
        assert await reading == HEADER
    assert near.recv(1000) == FOLLOWS


@pytest.mark.parametrize("start", [b"", b"PROXY TCP4 203", encode_v2(HEADER)[:-1], FOLLOWS])
async def test_another_beginning_or_an_early_end_is_told_at_once(ends, start) -> None:
    near, far = ends
    far.send(start)
    far.shutdown(socket.SHUT_WR)
    async with asyncio.timeout(5):
        with pytest.raises(DecodeError):
            await read_proxy_header(near)


async def test_what_was_looked_at_is_still_there(ends) -> None:
    near, far = ends
    asyncio.get_running_loop().call_later(0.01, far.send, b"ab")
    async with asyncio.timeout(5):
        assert await peek(near, 10) == b"ab"
        asyncio.get_running_loop().call_later(0.01, far.send, b"cd")
        assert await peek(near, 10, beyond=2) == b"abcd"
    assert near.recv(10) == b"abcd"
