"""Instances of a public service that end in order."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
from aiohttp import web

from p2p.address import TransportAddress
from tests.support.gateway_world import CONFIG, GatewayWorld, gateway_world, website
from tests.support.peers import echo, echo_service, end
from tests.support.ports import free_ports


class Site:
    """A site that tells its name, and answers ``/slow`` when it may."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.asked = 0
        self.has_slow = asyncio.Event()
        self.may_answer = asyncio.Event()

    async def answer(self, request: web.BaseRequest) -> web.Response:
        self.asked += 1
        if request.path == "/slow":
            self.has_slow.set()
            await self.may_answer.wait()
        return web.Response(text=self.name)


async def load(there: GatewayWorld, seen: Counter[tuple[int, str]], stop: asyncio.Event, method: str) -> None:
    while not stop.is_set():
        async with there.get("/", method=method) as response:
            seen[response.status, await response.text()] += 1


async def ask_slowly(there: GatewayWorld) -> int:
    async with there.get("/slow") as response:
        return int(response.status)


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_an_instance_drains_under_load_and_no_visitor_notices(tmp_path, method):
    sites = [Site(name) for name in ("one", "two", "three")]
    seen: Counter[tuple[int, str]] = Counter()
    stop = asyncio.Event()
    async with gateway_world(tmp_path) as there, AsyncExitStack() as stack:
        exposers = []
        for site in sites:
            port = await stack.enter_async_context(website(site.answer))
            exposers.append((await there.publish(port, name="blog", group="ours"))[0])
        async with asyncio.TaskGroup() as group:
            for _ in range(12):
                group.create_task(load(there, seen, stop, method))
            asking = [group.create_task(ask_slowly(there)) for _ in range(9)]
            await sites[0].has_slow.wait()
            drain = group.create_task(exposers[0].drain())
            await asyncio.sleep(0.3)
            asked = [site.asked for site in sites]
            await asyncio.sleep(0.3)
            # It gets nothing new, and does not end before its own visitors are served.
            assert sites[0].asked == asked[0]
            assert sites[1].asked > asked[1]
            assert not drain.done()
            for site in sites:
                site.may_answer.set()
            assert {await task for task in asking} == {200}
            await asyncio.wait_for(drain, 10)
            stop.set()
    assert {status for status, _ in seen} == {200}
    assert {name for _, name in seen} == {"one", "two", "three"}


async def test_the_only_instance_drains_and_visitors_hear_that_it_is_offline(tmp_path):
    async with gateway_world(tmp_path) as there, website(Site("one").answer) as port:
        exposer, _, _ = await there.publish(port, name="blog")
        assert exposer.status.public == (f"http://blog.gw.test:{there.gateway.http_addresses[0].port}",)
        await asyncio.wait_for(exposer.drain(), 10)
        async with there.get("/") as response:
            assert (response.status, response.headers["X-P2P-Problem"]) == (404, "no_service")


async def test_connections_of_a_port_are_waited_for_too(tmp_path):
    port = free_ports(1)[0]
    config = replace(CONFIG, ports={"tcp": (port, port)})
    async with gateway_world(tmp_path, config) as there, echo_service() as service:
        exposer, _, _ = await there.publish(service, kind="tcp", port=port, group="ours")
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"first")
        await reader.readexactly(5)
        await there.publish(service, kind="tcp", port=port, group="ours")
        async with asyncio.TaskGroup() as group:
            drain = group.create_task(exposer.drain())
            await asyncio.sleep(0.2)
            writer.write(b"second")
            assert await reader.readexactly(6) == b"second"
            assert not drain.done()
            await echo(TransportAddress("127.0.0.1", port), b"to the other one")
            await end(writer)
            await asyncio.wait_for(drain, 10)
