"""What an exposed service is told about who connects."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from p2p.address import TransportAddress
from p2p.proto.proxy_protocol import ProxyHeader, decode_untrusted, header_length_untrusted
from p2p.session.events import Connected, Listening
from p2p.session.options import ProxySource, ProxyVersion, RelayPolicy
from p2p.target import UnixTarget
from tests.support.peers import end, world
from tests.support.udp_services import exchange, udp_client, udp_echo_service

REQUEST = b"GET / HTTP/1.0\r\n\r\n"


@asynccontextmanager
async def recording_service() -> AsyncIterator[tuple[int, asyncio.Queue[bytes]]]:
    """A service that keeps all that each connection sent."""
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.put_nowait(await reader.read())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], heard


async def header_of(heard: asyncio.Queue[bytes]) -> ProxyHeader:
    async with asyncio.timeout(10):
        data = await heard.get()
    length = header_length_untrusted(data)
    assert length is not None
    assert data[length:] == REQUEST
    return decode_untrusted(data[:length])


@pytest.mark.parametrize("version", list(ProxyVersion))
async def test_the_service_is_told_where_the_peer_is(tmp_path: Path, version: ProxyVersion) -> None:
    async with world(tmp_path) as here, recording_service() as (port, heard):
        never = here.options(relay_policy=RelayPolicy.NEVER)
        offer, _, _ = await here.expose(port, options=never, proxy_protocol=version)
        _, news, _, address = await here.connect(offer.ticket)
        await news.wait_for(Connected)
        _, writer = await asyncio.open_connection(*address)
        writer.write(REQUEST)
        writer.write_eof()
        header = await header_of(heard)
        (session,) = offer.status.sessions
        assert header.source == session.address
        assert header.destination is not None
        assert not header.destination.ip.is_unspecified
        assert header.destination.is_ipv6 == header.source.is_ipv6
        await end(writer)


async def test_or_where_the_peers_client_says_it_is(tmp_path: Path) -> None:
    async with world(tmp_path) as here, recording_service() as (port, heard):
        options = {"proxy_protocol": ProxyVersion.V1, "proxy_source": ProxySource.CLIENT}
        offer, _, _ = await here.expose(port, **options)
        _, news, _, address = await here.connect(offer.ticket)
        await news.wait_for(Connected)
        _, writer = await asyncio.open_connection(*address)
        writer.write(REQUEST)
        writer.write_eof()
        own = TransportAddress.from_socket(writer.get_extra_info("sockname"))
        assert await header_of(heard) == ProxyHeader(own, address)
        await end(writer)


async def test_a_client_without_an_address_is_unknown(tmp_path: Path) -> None:
    async with world(tmp_path) as here, recording_service() as (port, heard):
        options = {"proxy_protocol": ProxyVersion.V2, "proxy_source": ProxySource.CLIENT}
        offer, _, _ = await here.expose(port, **options)
        place = UnixTarget(str(tmp_path / "here"))
        _, news, _ = await here.connect_at(offer.ticket, place)
        await news.wait_for(Listening)
        _, writer = await asyncio.open_unix_connection(place.address)
        writer.write(REQUEST)
        writer.write_eof()
        assert await header_of(heard) == ProxyHeader()
        await end(writer)


async def test_datagrams_are_left_alone(tmp_path: Path) -> None:
    async with world(tmp_path) as here, udp_echo_service() as service:
        offer, _, _ = await here.expose(service, proxy_protocol=ProxyVersion.V2)
        _, news, _, address = await here.connect(offer.ticket, listen=service.__class__("127.0.0.1", 0))
        await news.wait_for(Connected)
        with udp_client(address) as sock:
            assert await exchange(sock, b"hello") == b"hello"
