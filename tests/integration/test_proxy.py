"""A proxy on the exposing side, over loopback with the real servers in between."""

from __future__ import annotations

import asyncio
from pathlib import Path

from p2p.address import TransportAddress
from p2p.proto.proxy import PROXY_SERVICE
from p2p.proxy_rules import parse_rule
from p2p.session.events import Connected, Listening, Problem
from p2p.session.offered import CODE_NO_PROXY
from p2p.target import TcpTarget
from tests.support.peers import echo, echo_service, world

ANY_PORT = TransportAddress("127.0.0.1", 0)


async def ask(place: object, destination: str) -> tuple[bytes, asyncio.StreamReader, asyncio.StreamWriter]:
    assert isinstance(place, TcpTarget)
    reader, writer = await asyncio.open_connection(place.host, place.port)
    writer.write(f"CONNECT {destination} HTTP/1.1\r\n\r\n".encode())
    return await reader.readuntil(b"\r\n\r\n"), reader, writer


async def test_a_proxy_beside_a_service(tmp_path: Path) -> None:
    async with world(tmp_path) as here, echo_service() as port, echo_service() as other:
        offer, _, _ = await here.expose(port, proxy_to=(parse_rule(f"127.0.0.1:{other}"),))
        _, news, _ = await here.connect_at(offer.ticket, {"": TcpTarget("127.0.0.1", 0)}, socks=ANY_PORT)
        place = (await news.wait_for(Listening, service=PROXY_SERVICE)).address
        answer, reader, writer = await ask(place, f"127.0.0.1:{other}")
        assert answer.startswith(b"HTTP/1.1 200 ")
        payload = bytes(range(256)) * 4000
        writer.write(payload)
        assert await reader.readexactly(len(payload)) == payload
        writer.close()
        answer, _, writer = await ask(place, f"127.0.0.1:{port}")
        assert answer.startswith(b"HTTP/1.1 403 "), "the rules are about the proxy, whatever else is on offer"
        writer.close()
        service = (await news.wait_for(Listening, service="")).address
        assert isinstance(service, TcpTarget)
        await echo(TransportAddress(service.host, service.port), b"as before")


async def test_a_proxy_alone_is_what_the_ticket_is_for(tmp_path: Path) -> None:
    async with world(tmp_path) as here, echo_service() as other:
        offer, _, _ = await here.expose({}, proxy_to=(parse_rule("127.0.0.0/8"),))
        _, news, _, address = await here.connect(offer.ticket)
        await news.wait_for(Connected)
        answer, _, writer = await ask(TcpTarget(*address), f"127.0.0.1:{other}")
        assert answer.startswith(b"HTTP/1.1 200 ")
        writer.close()


async def test_without_a_proxy_it_says_so_at_once(tmp_path: Path) -> None:
    async with world(tmp_path) as here, echo_service() as port:
        offer, _, _ = await here.expose(port)
        _, news, _ = await here.connect_at(offer.ticket, {}, socks=ANY_PORT)
        assert (await news.wait_for(Problem)).error.error_code is CODE_NO_PROXY


async def test_free_places_are_for_what_the_user_named(tmp_path: Path) -> None:
    async with world(tmp_path) as here, echo_service() as port:
        offer, _, _ = await here.expose(port, proxy_to=(parse_rule("*"),), allow_bench=True, inbox=tmp_path)
        _, news, _ = await here.connect_at(offer.ticket, None)
        await news.wait_for(Connected)
        await news.wait_for(Listening)
        assert [event.service for event in news.events if isinstance(event, Listening)] == [""]
