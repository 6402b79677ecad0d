"""Programs around a gateway that are killed: an instance, a publisher that comes back, the rendezvous."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

from aiohttp import web

from tests.support.gateway_programs import programs
from tests.support.gateway_world import website

REQUESTS_PER_S = 250
"""What leaves a small machine that runs other tests, too, some room."""


def says(name: str) -> Callable[[web.BaseRequest], Any]:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if request.path != "/ws":
            return web.Response(text=name)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_str(name)
        await socket.close()
        return socket

    return answer


async def test_one_of_three_instances_is_killed_under_load_and_no_request_fails(tmp_path):
    weights = {"one": 1, "two": 1, "three": 2}
    async with programs(tmp_path) as there, AsyncExitStack() as stack:
        ports = [await stack.enter_async_context(website(says(name))) for name in weights]
        instances = [
            there.expose(name, port, "--weight", str(weights[name])) for name, port in zip(weights, ports, strict=True)
        ]
        # Their share grows for 10 s.
        await asyncio.sleep(10)
        answers: list[str] = []

        async def ask() -> None:
            answers.append(await there.get())

        async def visit(count: int) -> None:
            began_at = time.monotonic()
            async with asyncio.TaskGroup() as group:
                for number in range(count):
                    group.create_task(ask())
                    await asyncio.sleep(max(0.0, began_at + number / REQUESTS_PER_S - time.monotonic()))

        await visit(800)
        shares = Counter(answers)
        assert {name: round(20 * shares[name] / len(answers)) for name in weights} == {"one": 5, "two": 5, "three": 10}
        async with asyncio.TaskGroup() as group:
            group.create_task(visit(800))
            await asyncio.sleep(1)
            instances[0].kill()
        assert there.seen == {200: 1600}
        assert Counter(answers[-200:])["one"] == 0


async def test_a_publisher_is_killed_and_its_url_serves_again(tmp_path):
    async with programs(tmp_path) as there, website(says("here")) as port:
        there.expose("user", port).kill()
        waiting = asyncio.ensure_future(there.get())  # noqa: TID251
        await asyncio.sleep(0.05)
        there.expose("user", port)
        # The start of the program, 0.9 s on an idle machine, is not counted: it is longer where much else runs.
        started_at = time.monotonic()
        assert [await there.get() for _ in range(4)] == ["here"] * 4
        assert time.monotonic() - started_at < 1
        assert await waiting == "here"


async def test_websockets_open_at_another_instance_when_one_was_killed(tmp_path):
    async with programs(tmp_path) as there, website(says("one")) as first, website(says("two")) as second:
        killed = there.expose("a", first)
        there.expose("b", second)
        assert await there.open_websocket() in ("one", "two")
        killed.kill()
        async with asyncio.timeout(15):
            assert await asyncio.gather(*(there.open_websocket() for _ in range(6))) == ["two"] * 6


async def test_urls_go_on_serving_without_the_rendezvous(tmp_path):
    async with programs(tmp_path) as there, website(says("here")) as port:
        there.expose("user", port)
        there.serve.kill()
        began_at = time.monotonic()
        while time.monotonic() < began_at + 3:
            assert await there.get() == "here"
            await asyncio.sleep(0.05)


async def test_who_waits_for_the_only_one_that_was_killed_hears_that_it_is_offline(tmp_path):
    async with programs(tmp_path) as there, website(says("here")) as port:
        there.expose("user", port).kill()
        began_at = time.monotonic()
        assert "offline" in await there.get()
        assert 5 < time.monotonic() - began_at < 20
        assert "offline" in await there.get()
        assert there.seen == {503: 2}
