"""Visitors that mean no good: right answers, nothing crashes, and nothing reaches a neighbour."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from h2.connection import H2Connection

from tests.support.gateway_world import GatewayWorld, gateway_world, website
from tests.support.raw_h2 import GET, raw_h2
from tests.support.smuggling import CORPUS, HIDDEN


class Sites:
    """Two services of two people, and what reaches them."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    async def blog(self, request: web.BaseRequest) -> web.Response:
        return await self._answer("blog", request)

    async def other(self, request: web.BaseRequest) -> web.Response:
        return await self._answer("other", request)

    async def _answer(self, name: str, request: web.BaseRequest) -> web.Response:
        self.seen.append((name, request.raw_path))
        with contextlib.suppress(Exception):  # visitors break their bodies off
            await request.read()
        return web.Response(text=f"{name} {request.raw_path}")


@asynccontextmanager
async def two_sites(path: Path) -> AsyncIterator[tuple[GatewayWorld, Sites]]:
    sites = Sites()
    async with gateway_world(path) as there, website(sites.blog) as blog, website(sites.other) as other:
        await there.publish(blog, name="blog")
        await there.publish(other, name="other")
        yield there, sites


async def say(there: GatewayWorld, data: bytes, patience_s: float = 0.3) -> bytes:
    """Send bytes and no more; tells all that comes back, until the connection ends or nothing more comes."""
    reader, writer = await asyncio.open_connection(*there.gateway.http_addresses[0])
    answer = b""
    try:
        writer.write(data)
        while piece := await asyncio.wait_for(reader.read(1 << 16), patience_s):
            answer += piece
    except (ConnectionError, TimeoutError):
        pass
    finally:
        await hang_up(writer)
    return answer


async def hang_up(writer: asyncio.StreamWriter) -> None:
    """End a connection, and see to it that its socket is closed before the test ends."""
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def is_well(there: GatewayWorld) -> None:
    for name in ("blog", "other"):
        async with there.get("/well", host=f"{name}.gw.test") as response:
            assert await response.text() == f"{name} /well"


def told_errors(caplog: Any) -> list[str]:
    return [f"{record.name}: {record.getMessage()}" for record in caplog.records if record.levelno >= logging.ERROR]


async def test_no_request_hides_in_another(tmp_path, caplog):
    async with two_sites(tmp_path) as (there, sites):
        for name, data in CORPUS.items():
            answer = await say(there, data)
            first, _, _ = answer.partition(b"\r\n")
            assert first.split()[1] in (b"400", b"404"), (name, first)
            assert not [seen for seen in sites.seen if "smuggled" in seen[1] or seen[0] == "other"], name
            # Whoever comes next gets an answer to its own question.
            async with there.get("/next") as response:
                assert await response.text() == "blog /next", name
        await is_well(there)
        # A body with a request in it that is a body for everybody is one.
        body = b"POST /outer HTTP/1.1\r\nHost: blog.gw.test\r\nContent-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN
        assert b"blog /outer" in await say(there, body)
        assert not [seen for seen in sites.seen if "smuggled" in seen[1]]
    assert told_errors(caplog) == []


HEADS = (
    b"GET /a?b=c HTTP/1.1\r\nHost: blog.gw.test\r\nAccept: text/html\r\nCookie: a=b; c=d\r\n\r\n",
    b"POST /p HTTP/1.1\r\nHost: blog.gw.test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello",
    b"POST /c HTTP/1.1\r\nHost: blog.gw.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n",
    b"GET /w HTTP/1.1\r\nHost: blog.gw.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
    b"CONNECT blog.gw.test:80 HTTP/1.1\r\nHost: blog.gw.test\r\nProxy-Authorization: Basic eA==\r\n\r\n",
)
PIECES = (
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b"\t",
    b":",
    b"\xff",
    b"%",
    b"chunked",
    b"0",
    b"-1",
    b"HTTP/1.1",
    b"\x80" * 40,
)


def spoilt(data: bytes, chance: random.Random) -> bytes:
    """Change bytes here and there: flipped, cut out, doubled, or something in between."""
    spoilt = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(spoilt) + 1)
        match chance.randrange(4):
            case 0:
                spoilt[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                del spoilt[at : at + chance.randint(1, 12)]
            case 2:
                spoilt[at:at] = spoilt[at : at + chance.randint(1, 40)]
            case _:
                spoilt[at:at] = chance.choice(PIECES)
    return bytes(spoilt)


def h2_conversation(chance: random.Random) -> bytes:
    """What a client of HTTP/2 would say, all at once."""
    client = H2Connection()
    client.initiate_connection()
    for number in range(1, chance.randint(2, 6), 2):
        client.send_headers(number, [*GET, (b"cookie", b"a=b")], end_stream=chance.random() < 0.5)
        client.ping(bytes(8))
    client.increment_flow_control_window(1000)
    return client.data_to_send()


async def test_a_thousand_requests_that_are_none(tmp_path, caplog):
    chance = random.Random(8115)
    async with two_sites(tmp_path) as (there, sites):
        at_once = asyncio.Semaphore(20)

        async def try_one(data: bytes) -> bytes:
            async with at_once:
                return await say(there, data)

        requests = [spoilt(chance.choice(HEADS), chance) for _ in range(700)]
        conversations = [h2_conversation(chance) for _ in range(300)]
        requests += [data[:24] + spoilt(data[24:], chance) for data in conversations]
        answers = await asyncio.gather(*map(try_one, requests))
        await is_well(there)
        assert all(name != "other" or path == "/well" for name, path in sites.seen)
        assert sum(b" 400 " in answer[:13] for answer in answers) > 200
        # Nothing tells where a service is.
        assert not any(b"127.0.0.1" in answer or b"Traceback" in answer for answer in answers)
    assert told_errors(caplog) == []


async def test_slow_visitors_are_left_and_the_others_served(tmp_path, monkeypatch):
    monkeypatch.setattr("gateway.ingress.connections.KEEP_ALIVE_S", 1.0)
    monkeypatch.setattr("gateway.ingress.connections.FIRST_BYTE_WITHIN_S", 1.0)
    monkeypatch.setattr("gateway.ingress.tcpmux.HELLO_WITHIN_S", 1.0)
    slow = [HEADS[0], HEADS[4], b"PRI * HTTP/2.0\r\n\r\nSM", b""]

    async def drip(there: GatewayWorld, data: bytes) -> float:
        reader, writer = await asyncio.open_connection(*there.gateway.http_addresses[0])
        began_at = asyncio.get_running_loop().time()
        try:
            for at in range(len(data) - 1):
                writer.write(data[at : at + 1])
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.2):
                        if not await reader.read(1):
                            break
            else:
                await reader.read()
        except ConnectionError:
            pass
        await hang_up(writer)
        return asyncio.get_running_loop().time() - began_at

    async with two_sites(tmp_path) as (there, _):
        async with asyncio.TaskGroup() as group:
            drops = [group.create_task(drip(there, data)) for data in slow * 50]
            for _ in range(10):
                await is_well(there)
                await asyncio.sleep(0.05)
        assert all(drop.result() < 5 for drop in drops)


async def test_a_body_that_stops_coming_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr("gateway.ingress.proxy.BODY_SILENT_S", 0.3)
    async with two_sites(tmp_path) as (there, _):
        head = b"POST / HTTP/1.1\r\nHost: blog.gw.test\r\nContent-Length: 100\r\n\r\nhello"
        assert b" 408 " in (await say(there, head, 3.0))[:13]
        async with raw_h2(there.gateway.http_addresses[0]) as client:
            outcome = await client.answer([(b":method", b"POST"), *GET[1:]], body=b"hello", ends=False)
            assert outcome.status == 408
        await is_well(there)


@pytest.mark.parametrize("count", [200])
async def test_visitors_that_leave_early_blame_no_instance(tmp_path, count):
    async with two_sites(tmp_path) as (there, _):
        for _ in range(count // 10):
            for data in (HEADS[0], b"POST / HTTP/1.1\r\nHost: blog.gw.test\r\nContent-Length: 100\r\n\r\nhello"):
                _, writer = await asyncio.open_connection(*there.gateway.http_addresses[0])
                writer.write(data)
                await asyncio.sleep(0.01)
                await hang_up(writer)
            async with raw_h2(there.gateway.http_addresses[0]) as client:
                client.ask([(b":method", b"POST"), *GET[1:]], body=b"hello", ends=False)
                await asyncio.sleep(0.01)
        await is_well(there)
        for service in there.gateway.services:
            assert all(instance.is_well(asyncio.get_running_loop().time()) for instance in service.instances)
