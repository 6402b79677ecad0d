"""The operator's commands to a running gateway."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from typer.testing import CliRunner

from gateway.control import GATEWAY
from gateway.core.balance import Policy
from p2p.aio.control_socket import ask
from p2p.cli.app import app
from p2p.errors import ConfigError
from tests.support.gateway_world import CONFIG, GatewayWorld, gateway_world, website
from tests.support.ports import free_ports


async def tell(path: Path, *words: str) -> dict[str, Any]:
    return await asyncio.to_thread(ask, path, GATEWAY, *words)


async def command(path: Path, *words: str) -> str:
    """Run ``p2p gateway`` as an operator does."""
    arguments = ["gateway", *words, "--socket", str(path)]
    result = await asyncio.to_thread(CliRunner().invoke, app, arguments)
    assert result.exit_code == 0, result.output
    return result.output


async def visits(there: GatewayWorld, count: int) -> Counter[str]:
    seen: Counter[str] = Counter()
    for _ in range(count):
        async with there.get("/") as response:
            seen[await response.text()] += 1
    return seen


async def test_the_operator_sees_and_changes_who_gets_visitors(tmp_path):
    async def one(_: web.BaseRequest) -> web.Response:
        return web.Response(text="one")

    async def two(_: web.BaseRequest) -> web.Response:
        return web.Response(text="two")

    port = free_ports(1)[0]
    control = tmp_path / "control"
    config = replace(CONFIG, balance=Policy.ROUND_ROBIN, control=control, ports={"tcp": (port, port)})
    async with gateway_world(tmp_path, config) as there, website(one) as first, website(two) as second:
        options = there.peers.options()
        await there.publish(first, {"options": options}, name="blog", group="ours")
        canary = str(there.gateway.services.of_host("blog.gw.test").instances[0].name)
        await there.publish(second, name="blog", group="ours")
        await there.publish(second, kind="tcp", port=port)
        other = str(there.gateway.services.of_host("blog.gw.test").instances[1].name)

        assert await tell(control, "weight", "blog", other, "3") == {
            "service": "blog.gw.test",
            "instance": other,
            "weight": 3,
            "before": 1,
        }
        for instance in there.gateway.services.of_host("blog.gw.test").instances:
            instance._since = 0.0  # whole shares at once
        assert await visits(there, 40) == {"one": 10, "two": 30}

        status = json.loads(await command(control, "status", "--json"))
        blog, tcp = status["services"]
        assert (blog["service"], tcp["service"]) == ("blog.gw.test", f"tcp:{port}")
        assert [(i["instance"], i["requests"], i["state"]) for i in blog["instances"]] == [
            (canary, 10, "well"),
            (other, 30, "well"),
        ]
        assert {i["path"] for i in blog["instances"]} == {"direct"}
        assert status["totals"]["requests"] == {"2xx": 40}
        shown = await command(control, "status")
        assert "2 services, 3 instances" in shown
        assert "blog.gw.test" in shown
        assert canary in shown

        assert "set aside" in await command(control, "drain", "blog.gw.test", other)
        assert await visits(there, 6) == {"one": 6}
        # What the operator wants outlives a session.
        old = there.gateway.services.of_host("blog.gw.test").instances[1]
        old.session.close()
        async with asyncio.timeout(10):
            while there.gateway.services.of_host("blog.gw.test").instances[-1] in (old,):
                await asyncio.sleep(0.02)
            while len(there.gateway.services.of_host("blog.gw.test").instances) < 2:
                await asyncio.sleep(0.02)
        assert await visits(there, 6) == {"one": 6}
        assert "back" in await command(control, "resume", "blog")
        assert set(await visits(there, 40)) == {"one", "two"}

        for words in (
            ("weight", "blog", "nobody", "1"),
            ("drain", "shop"),
            ("weight", "blog", other, "0"),
            ("weight",),
        ):
            with pytest.raises(ConfigError, check=lambda error: error.code == "P2P-1522"):
                await tell(control, *words)
