"""Relays that report to a rendezvous: clients hear of those that have room."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from p2p.address import TransportAddress
from p2p.aio.tasks import TaskScope
from p2p.gather import relay_keeper
from p2p.proto.signalling.relay_report import REPORT_PATH, RelayReport, seal
from p2p.session.events import Connected
from p2p.session.options import RelayPolicy
from p2p.session.status import PathKind
from p2p.signalling import SignallingClient
from p2p.signalling import renewal as renewal_module
from relay import reporting
from relay.core.quotas import QuotaLimits
from relay.reporting import Reporter
from relay.service import RelayService
from rendezvous import connection as connection_module
from rendezvous.service import RendezvousConfig, RendezvousService
from tests.support.peers import World, echo, echo_service
from tests.support.relay import SECRET, loopback_config
from tests.support.rendezvous_world import ALICE, BASE, until, url_of

CONFIG = replace(BASE, relay_secret=SECRET)


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporting, "RELAY_REPORT_S", 0.5)
    monkeypatch.setattr(reporting, "RELAY_REPORT_LOOK_S", 0.05)
    monkeypatch.setattr(relay_keeper, "RELAY_SILENT_S", 1.0)
    monkeypatch.setattr(renewal_module, "RELAYS_ASKED_AGAIN_S", 0.2)
    monkeypatch.setattr(renewal_module, "_SHORTEST_WAIT_S", 0.2)
    monkeypatch.setattr(connection_module, "RELAYS_ASKED_AGAIN_S", 0.2)


@asynccontextmanager
async def relay(
    rendezvous: RendezvousService, region: str, host: str = "127.0.0.1", **changes: Any
) -> AsyncIterator[RelayService]:
    listener = {"udp": (TransportAddress(host, 0),), "tcp": (), "tls": ()}
    async with RelayService(loopback_config(**listener, region=region, **changes)) as service:
        url = f"turn:{service.udp_addresses[0]}?transport=udp"
        # As if the file had named the port that the kernel has chosen.
        service.config = replace(
            service.config, urls=(url,), report_to=(url_of(rendezvous, "ws").replace("ws:", "http:"),)
        )
        async with Reporter(service, CollectorRegistry()):
            yield service


async def offered(rendezvous: RendezvousService) -> dict[str, str]:
    """What a client that logs in now is told, by region."""
    async with SignallingClient([url_of(rendezvous)], ALICE) as client:
        return {server.region: server.url for server in (await client.welcome()).turn}


async def until_offered(rendezvous: RendezvousService, *regions: str) -> None:
    async with asyncio.timeout(5):
        while set(await offered(rendezvous)) != set(regions):
            await asyncio.sleep(0.02)


async def test_clients_hear_of_relays_that_have_room_and_no_longer_of_those_that_have_not() -> None:
    async with RendezvousService(CONFIG) as rendezvous, relay(rendezvous, "north"):
        await until_offered(rendezvous, "north")
        async with relay(rendezvous, "south") as south:
            await until_offered(rendezvous, "north", "south")
            south.reload(replace(south.config, quotas=QuotaLimits(total=0)))
            await until_offered(rendezvous, "north")
            south.reload(replace(south.config, quotas=QuotaLimits()))
            await until_offered(rendezvous, "north", "south")
            await south.drain(0.0)
            await until_offered(rendezvous, "north")
        async with relay(rendezvous, "west"):
            await until_offered(rendezvous, "north", "west")
        # The last report says that it is gone: nobody waits for its silence.
        await until_offered(rendezvous, "north")


async def test_a_client_that_was_told_of_no_relay_hears_of_the_first_one() -> None:
    async with RendezvousService(CONFIG) as rendezvous, SignallingClient([url_of(rendezvous)], ALICE) as client:
        assert not (await client.welcome()).turn
        async with relay(rendezvous, "north"):
            async with asyncio.timeout(5):
                while not (await client.welcome()).turn:
                    await asyncio.sleep(0.02)


async def test_a_session_goes_over_a_relay_that_reports_and_tells_its_region(tmp_path: Path) -> None:
    async with (
        RendezvousService(CONFIG) as rendezvous,
        relay(rendezvous, "north"),
        TaskScope() as scope,
        AsyncExitStack() as stack,
        echo_service() as port,
    ):
        await until_offered(rendezvous, "north")
        here = World(tmp_path, stack, scope, url_of(rendezvous))
        only = {"relay_policy": RelayPolicy.ONLY}
        offer, _, _ = await here.expose(port, options=here.options(**only))
        _, news, _, address = await here.connect(offer.ticket, options=here.options(**only))
        assert (await news.wait_for(Connected)).path is PathKind.RELAY
        await echo(address, b"hello")
        assert offer.status.relay is not None
        assert offer.status.to_json()["relay"]["region"] == "north"


async def test_a_peer_whose_relay_is_gone_asks_for_another(tmp_path: Path) -> None:
    async with (
        RendezvousService(CONFIG) as rendezvous,
        AsyncExitStack() as relays,
        TaskScope() as scope,
        AsyncExitStack() as stack,
    ):
        await relays.enter_async_context(relay(rendezvous, "north"))
        await until_offered(rendezvous, "north")
        here = World(tmp_path, stack, scope, url_of(rendezvous))
        offer, _, _ = await here.expose(9)
        offer.node.heartbeats.measured((1.0, 2.0))  # a NAT that forgets so soon makes it ask so often
        await until(lambda: offer.status.relay is not None)
        await relays.aclose()
        async with relay(rendezvous, "south", "127.0.0.2"):
            await until(lambda: offer.status.relay is not None and offer.status.relay.region == "south", 20.0)


@pytest.mark.parametrize(
    ("config", "data", "status"),
    [
        (CONFIG, lambda report: seal(report, "another secret"), 403),
        (CONFIG, lambda report: seal(report, SECRET)[:-1], 403),
        (CONFIG, lambda report: b"", 403),
        (CONFIG, lambda report: b"x" * 5000, 413),
        (BASE, lambda report: seal(report, ""), 403),
        (CONFIG, lambda report: seal(report, SECRET), 204),
    ],
)
async def test_nobody_without_the_secret_is_heard(
    config: RendezvousConfig, data: Callable[[RelayReport], bytes], status: int
) -> None:
    report = RelayReport(reporter="0" * 16, at_wall=time.time(), urls=("turn:192.0.2.1",), addresses_max=10)
    async with RendezvousService(config) as rendezvous, aiohttp.ClientSession() as session:
        url = url_of(rendezvous).replace("ws:", "http:") + REPORT_PATH
        async with session.post(url, data=data(report)) as answer:
            assert answer.status == status
        assert bool(await offered(rendezvous)) is (status == 204)
        async with session.get(url.replace(REPORT_PATH, "/metrics")) as answer:
            text = await answer.text()
        assert f'p2p_rendezvous_relays{{state="ready"}} {float(status == 204)}' in text


async def test_a_rendezvous_that_is_down_is_told_when_it_is_back(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    async with AsyncExitStack() as stack:
        async with RendezvousService(CONFIG) as before:
            address = before.listen_addresses[0]
            await stack.enter_async_context(relay(before, "north"))
            await until_offered(before, "north")
        await asyncio.sleep(0.3)
        async with RendezvousService(replace(CONFIG, listen=(address,))) as after:
            await until_offered(after, "north")
