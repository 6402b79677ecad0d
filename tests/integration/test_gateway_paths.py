"""Several services on one host, and how much each takes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from p2p.proto.publication import Access
from p2p.session.events import Public
from tests.support.gateway_world import GatewayWorld, gateway_world, mirror, website


async def asked(there: GatewayWorld, path: str) -> tuple[int, str, str]:
    """What a visitor gets: status, who answered, and which path that one was asked for."""
    async with there.get(path) as response:
        if response.status != 200:
            return response.status, "", ""
        headers = dict(response.headers)
        return 200, headers["X-Service"], json.loads(await response.text())["path"]


def named(name: str):
    async def site(request: web.BaseRequest) -> web.Response:
        response = await mirror(request)
        response.headers["X-Service"] = name
        return response

    return site


async def test_the_longest_path_counts(tmp_path):
    async with (
        gateway_world(tmp_path) as there,
        website(named("root")) as root,
        website(named("api")) as api,
        website(named("v2")) as v2,
    ):
        same = {"name": "blog", "group": "us"}
        await there.publish(root, **same)
        _, news, _ = await there.publish(api, **same, path="/api")
        await there.publish(v2, **same, path="/api/v2", strips_path=True)
        assert (await news.wait_for(Public)).urls[0].endswith("/api")
        assert await asked(there, "/") == (200, "root", "/")
        assert await asked(there, "/apis?x=/api/") == (200, "root", "/apis?x=/api/")
        assert await asked(there, "/api") == (200, "api", "/api")
        assert await asked(there, "/api/?q") == (200, "api", "/api/?q")
        assert await asked(there, "/api/v2") == (200, "v2", "/")
        assert await asked(there, "/api/v2?q") == (200, "v2", "/?q")
        assert await asked(there, "/api/v2/a%20b") == (200, "v2", "/a%20b")
        async with there.get("/api/v2/x", headers={"X-Forwarded-Prefix": "/lie"}) as response:
            headers = json.loads(await response.text())["headers"]
        assert [value for name, value in headers if name.lower() == "x-forwarded-prefix"] == ["/api/v2"]


@pytest.mark.parametrize(
    "path",
    [
        "/open/../closed",
        "/open/%2e%2E/closed",
        "/open/..%2fclosed",
        "/open/..;/closed",
        "/open/..\\closed",
        "/%63losed",
        "//closed",
        "/./closed",
        "/\\closed/x",
        "/x/..//closed",
        "/closed;x/y",
        "/closed%2fx",
    ],
)
async def test_no_other_spelling_gets_around_a_policy(tmp_path, path):
    async with gateway_world(tmp_path) as there, website(named("it")) as port:
        same = {"name": "blog", "group": "us"}
        await there.publish(port, **same)
        await there.publish(port, **same, path="/open")
        await there.publish(port, **same, path="/closed", access=Access(basic=("ann:secret",)))
        async with aiohttp.ClientSession() as visitor:
            from yarl import URL

            url = URL(f"http://{there.gateway.http_addresses[0]}{path}", encoded=True)
            async with visitor.get(url, headers={"Host": "blog.gw.test"}) as response:
                assert response.status in (400, 401)


async def test_a_host_with_paths_belongs_to_one_owner(tmp_path):
    async with gateway_world(tmp_path) as there, website(mirror) as port:
        await there.publish(port, name="blog", path="/a")
        assert (await asked_status(there, "/")) == 404
        # Another key, another person: not even a path that nobody has.
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await there.publish(port, name="blog", path="/b")
        assert (await asked_status(there, "/b")) == 404


async def asked_status(there: GatewayWorld, path: str) -> int:
    async with there.get(path) as response:
        return int(response.status)


async def test_a_service_takes_as_much_as_it_says(tmp_path):
    waiting = asyncio.Event()
    go_on = asyncio.Event()

    async def site(request: web.BaseRequest) -> web.Response:
        if request.path == "/wait":
            waiting.set()
            await go_on.wait()
        return await mirror(request)

    async def pieces(count: int) -> AsyncIterator[bytes]:
        for _ in range(count):
            yield bytes(10)
            await asyncio.sleep(0.01)

    limits = Access(connections=1, body_max_bytes=100, header_max_bytes=1000)
    async with gateway_world(tmp_path) as there, website(site) as port:
        await there.publish(port, name="blog", access=limits)
        for count, status in ((10, 200), (11, 413), (50, 413)):
            async with there.get("/", method="POST", data=pieces(count)) as response:
                assert response.status == status
            async with there.get("/", method="POST", data=bytes(count * 10)) as response:
                assert response.status == status
        async with there.get("/", headers={"X": "a" * 1000}) as response:
            assert (response.status, response.headers["X-P2P-Problem"]) == (431, "headers")
        async with asyncio.TaskGroup() as group:
            first = group.create_task(asked_status(there, "/wait"))
            await waiting.wait()
            assert await asked_status(there, "/") == 429
            go_on.set()
        assert first.result() == 200
