"""Instances of one public service: who gets which visitor, and what the gateway changes on the way."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from aiohttp import web

from gateway.core.balance import Policy
from gateway.core.sticky import COOKIE
from p2p.session.options import HeaderRule, Health
from tests.support.gateway_world import CONFIG, GatewayWorld, gateway_world, mirror, website


def says(name: str) -> Callable[[web.BaseRequest], Any]:
    async def answer(request: web.BaseRequest) -> web.Response:
        return web.Response(text=json.dumps([name, request.headers.get("Cookie")]), headers={"Set-Cookie": "own=1"})

    return answer


async def ask(there: GatewayWorld, cookie: str = "") -> tuple[str, str | None, list[str]]:
    """Which instance answered, the cookies that it saw, and those that the visitor was given."""
    async with there.get("/", headers={"Cookie": cookie} if cookie else {}) as response:
        name, seen = json.loads(await response.text())
        return name, seen, response.headers.getall("Set-Cookie")


async def test_a_browser_stays_with_its_instance_while_that_is_there(tmp_path):
    config = replace(CONFIG, balance=Policy.COOKIE)
    async with gateway_world(tmp_path, config) as there, website(says("one")) as first:
        async with website(says("two")) as second:
            await there.publish(first, name="blog", group="ours")
            await there.publish(second, name="blog", group="ours")
            given: dict[str, str] = {}
            while len(given) < 2:
                name, _, cookies = await ask(there)
                assert cookies[0] == "own=1"
                given[name] = cookies[1].partition(";")[0]
            for name in ("two", "one", "one", "two", "two"):
                assert await ask(there, f"a=b; {given[name]}") == (name, "a=b", ["own=1"])
        name, _, cookies = await ask(there, given["two"])
        assert (name, cookies[1].partition(";")[0]) == ("one", given["one"])
        assert (await ask(there, f"{COOKIE}=forged"))[0] == "one"


async def test_headers_are_changed_on_the_way_to_the_service(tmp_path):
    rules = (HeaderRule(name="X-Forwarded-For"), HeaderRule(name="Host", value="intranet.example"))
    async with gateway_world(tmp_path) as there, website(mirror) as port:
        await there.publish(port, name="blog", headers=rules)
        async with there.get("/") as response:
            headers = {name.lower(): value for name, value in (await response.json())["headers"]}
        assert headers["host"] == "intranet.example"
        assert "x-forwarded-for" not in headers
        assert headers["x-real-ip"] == "127.0.0.1"


async def test_an_instance_that_is_not_well_gets_no_visitors_until_it_is(tmp_path):
    asked: list[str] = []
    status = 500

    async def answer(request: web.BaseRequest) -> web.Response:
        if request.path == "/healthz":
            asked.append(request.headers["User-Agent"])
            return web.Response(status=status)
        return web.Response(text="here")

    async with gateway_world(tmp_path) as there, website(answer) as port:
        await there.publish(port, name="blog", health=Health(path="/healthz", interval_s=1.0))

        async def until(expected: int) -> None:
            async with asyncio.timeout(10):
                while True:
                    async with there.get("/") as response:
                        if response.status == expected:
                            return
                    await asyncio.sleep(0.02)

        await until(503)
        status = 200
        await until(200)
        assert set(asked) == {"p2p-gateway"}
