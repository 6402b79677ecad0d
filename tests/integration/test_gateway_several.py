"""Several gateways behind one name: what is published at both is served by both."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

from gateway.config import GatewayConfig
from gateway.core.balance import Policy
from gateway.service import Gateway
from p2p.session.events import Problem, Public
from tests.integration.test_gateway_balance import says
from tests.support.gateway_world import CONFIG, gateway_world, running_gateway, website

BOTH: GatewayConfig = replace(CONFIG, balance=Policy.COOKIE, shared_secret="known to both of them")


def instances(gateway: Gateway) -> int:
    """How many instances of the only service have come to a gateway."""
    return sum(len(service.instances) for service in gateway.services)


async def test_both_serve_with_the_same_cookies_and_one_goes_on_without_the_other(tmp_path):
    async with gateway_world(tmp_path, BOTH) as there, website(says("one")) as first, website(says("two")) as second:
        async with running_gateway(there.peers, "other", BOTH) as other:
            gateways = (there.gateway.ticket, other.ticket)
            exposer, news, _ = await there.publish(first, name="blog", group="ours", gateways=gateways)
            await there.publish(second, name="blog", group="ours", gateways=gateways)
            async with asyncio.timeout(10):
                while min(instances(there.gateway), instances(other)) < 2:
                    await asyncio.sleep(0.02)
            assert set(exposer.status.public) == {
                f"http://blog.gw.test:{gateway.http_addresses[0].port}" for gateway in (there.gateway, other)
            }
            for _ in range(4):
                async with there.get("/") as response:
                    served_by, _ = json.loads(await response.text())
                    cookie = response.headers.getall("Set-Cookie")[1].partition(";")[0]
                for gateway in (other, there.gateway, other):
                    async with there.get("/", headers={"Cookie": cookie}, by=gateway) as response:
                        assert json.loads(await response.text())[0] == served_by
                        assert response.headers.getall("Set-Cookie") == ["own=1"]
        for _ in range(4):
            async with there.get("/") as response:
                assert response.status == 200
        # Gone for a while only, perhaps: it is asked again and again.
        await news.wait_for(Problem)
        assert exposer.status.public == (f"http://blog.gw.test:{there.gateway.http_addresses[0].port}",)


async def test_one_that_refuses_or_is_not_there_keeps_nobody_from_the_other(tmp_path):
    narrow = replace(CONFIG, domain="", custom_hosts=True)
    async with gateway_world(tmp_path) as there, website(says("one")) as port:
        async with running_gateway(there.peers, "gone") as gone:
            absent = gone.ticket
        async with running_gateway(there.peers, "narrow", narrow) as refusing:
            gateways = (refusing.ticket, absent, there.gateway.ticket)
            _, news, task = await there.publish(port, name="blog", gateways=gateways)
            assert "no domain" in str((await news.wait_for(Problem)).error)
            async with there.get("/") as response:
                assert response.status == 200
            assert len((await news.wait_for(Public)).urls) == 1
            assert not task.done()
