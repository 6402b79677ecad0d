"""The web server and the client of the demonstration."""

from __future__ import annotations

import asyncio

import pytest

from p2p.address import TransportAddress
from p2p.cli.sample import fetch, web_server
from p2p.errors import ForwardError


@pytest.mark.parametrize("size_bytes", [1, 65_536, 65_537, 5_000_000])
async def test_file_arrives_whole(size_bytes: int) -> None:
    async with web_server(size_bytes) as address:
        assert (await fetch(address, size_bytes)).size_bytes == size_bytes


async def test_slow_reader_is_waited_for() -> None:
    async with web_server(20_000_000) as address:
        reader, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0)
        assert len(await reader.read()) == 20_000_000
        writer.close()
        await writer.wait_closed()


async def test_missing_bytes_are_noticed() -> None:
    async with web_server(1000) as address:
        with pytest.raises(ForwardError, match="1000 of 1001 bytes") as caught:
            await fetch(address, 1001)
    assert caught.value.code == "P2P-6191"


async def test_broken_connection_is_noticed() -> None:
    class HangUp(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            transport.abort()

    server = await asyncio.get_running_loop().create_server(HangUp, "127.0.0.1", 0)
    async with server:
        with pytest.raises(ForwardError, match="broke off"):
            await fetch(TransportAddress.from_socket(server.sockets[0].getsockname()), 1)
