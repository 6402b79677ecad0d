"""A port that a router on loopback forwards: asked for, told, withdrawn, given back."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from typing import Any

import pytest

from p2p.address import TransportAddress
from p2p.aio.tasks import TaskScope
from p2p.gather.interfaces import Gateway
from p2p.gather.portmap.http import BoundedHttp
from p2p.gather.portmap.mapper import PortMapper
from p2p.gather.portmap.search import find_description
from p2p.proto.portmap.errors import CODE_UNUSABLE, PortMappingError
from p2p.proto.portmap.mapping import MappingProtocol, PortMapping
from tests.support.port_router import GATEWAY, GATEWAY6, LOOPBACK, announce, control_router, upnp_box
from tests.support.ports import free_port

OURS = 5000


class Told:
    """What a mapper told, in order; None is a loss."""

    def __init__(self) -> None:
        self.news: asyncio.Queue[PortMapping | None] = asyncio.Queue()

    async def next(self) -> PortMapping | None:
        async with asyncio.timeout(5.0):
            return await self.news.get()


def silent_port() -> int:
    """A port at which nobody listens."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sock:
        sock.bind((LOOPBACK, 0))
        port: int = sock.getsockname()[1]
        return port


@asynccontextmanager
async def mapper(
    *, gateways: Callable[[], tuple[Gateway, ...]] = lambda: (GATEWAY,), **where: Any
) -> AsyncIterator[tuple[PortMapper, Told]]:
    told = Told()
    keeper = PortMapper(
        lambda: OURS,
        on_mapped=told.news.put_nowait,
        on_lost=lambda: told.news.put_nowait(None),
        gateways=gateways,
        **where,
    )
    async with TaskScope() as scope:
        scope.start(keeper.run(), name="port mapping")
        yield keeper, told


async def test_pcp_maps_and_gives_back_at_the_end() -> None:
    async with control_router() as router:
        async with mapper(control_port=router.port) as (_, told):
            mapping = await told.next()
            assert mapping is not None
            assert mapping.protocol is MappingProtocol.PCP
            assert mapping.external == TransportAddress("8.8.8.8", 40_000)
            assert router.mapped == {OURS: 3600}
        assert router.mapped == {}
        assert told.news.empty(), "at the end nobody needs to be told"


async def test_another_network_is_asked_at_once_and_the_old_address_withdrawn() -> None:
    async with control_router() as router, mapper(control_port=router.port) as (keeper, told):
        assert await told.next() is not None
        router.host = "1.1.1.1"
        keeper.network_changed()
        assert await told.next() is None
        mapping = await told.next()
        assert mapping is not None
        assert mapping.external.host == "1.1.1.1"


async def test_without_a_router_it_waits_for_another_network() -> None:
    gateways: list[Gateway] = []
    async with (
        control_router() as router,
        mapper(control_port=router.port, gateways=lambda: tuple(gateways)) as (keeper, told),
    ):
        await asyncio.sleep(0)
        assert router.asked == 0
        gateways.append(GATEWAY)
        keeper.network_changed()
        assert await told.next() is not None


async def test_upnp_where_nothing_else_is_spoken() -> None:
    async with upnp_box() as box:
        async with mapper(control_port=silent_port(), ssdp_group=box.group) as (_, told):
            mapping = await told.next()
            assert mapping is not None
            assert mapping.protocol is MappingProtocol.UPNP
            assert mapping.external == TransportAddress("8.8.4.4", OURS)
            assert box.mapped == {OURS: 3600}
        assert box.mapped == {}


async def test_upnp_router_that_forwards_for_ever_and_whose_port_is_taken() -> None:
    async with upnp_box() as box:
        box.only_permanent, box.taken = True, {OURS}
        async with mapper(control_port=silent_port(), ssdp_group=box.group) as (_, told):
            mapping = await told.next()
            assert mapping is not None
            assert mapping.lifetime_s is None
            assert mapping.external.port != OURS
            assert box.mapped == {mapping.external.port: 0}
        assert box.mapped == {}


async def test_pcp_that_refuses_leaves_upnp() -> None:
    async with control_router() as router, upnp_box() as box:
        router.result = 2
        async with mapper(control_port=router.port, ssdp_group=box.group) as (_, told):
            mapping = await told.next()
            assert mapping is not None
            assert mapping.protocol is MappingProtocol.UPNP


async def test_a_description_without_an_end_is_not_read() -> None:
    async with upnp_box() as box:
        box.huge = True
        location = await find_description(GATEWAY, group=box.group)
        async with BoundedHttp(GATEWAY) as http:
            with pytest.raises(PortMappingError, match="does not stop talking") as raised:
                await http.get(location)
        assert raised.value.error_code is CODE_UNUSABLE


async def test_nobody_answers_a_search() -> None:
    group = TransportAddress(LOOPBACK, silent_port())
    with pytest.raises(PortMappingError, match="does not speak UPnP"):
        await find_description(GATEWAY, within_s=0.05, group=group)


async def until(what: Callable[[], bool]) -> None:
    async with asyncio.timeout(5.0):
        while not what():
            await asyncio.sleep(0.01)


async def test_a_router_that_restarts_is_asked_again_at_once() -> None:
    port = free_port()
    async with control_router() as router, mapper(control_port=router.port, announcement_port=port) as (_, told):
        assert await told.next() is not None
        router.booted_at_s, router.host = 1000, "1.1.1.1"
        announce(port, epoch_s=0, source="127.0.0.2")
        await asyncio.sleep(0.7)
        assert router.asked == 1, "that was not the router"
        announce(port, epoch_s=0)
        mapping = await told.next()
        assert mapping is not None
        assert mapping.external.host == "1.1.1.1"
        assert router.asked == 2


async def test_a_router_that_gave_nothing_is_asked_when_it_announces_itself() -> None:
    port = free_port()
    group = TransportAddress(LOOPBACK, silent_port())
    async with control_router() as router:
        router.result = 2
        async with mapper(control_port=router.port, ssdp_group=group, announcement_port=port) as (_, told):
            await until(lambda: router.asked >= 1)
            router.result = 0
            announce(port, epoch_s=0)
            assert await told.next() is not None


async def test_several_programs_hear_one_announcement() -> None:
    port = free_port()
    async with control_router() as router:
        one = mapper(control_port=router.port, announcement_port=port)
        other = mapper(control_port=router.port, announcement_port=port)
        async with one as (_, told), other as (_, told_too):
            assert await told.next() is not None
            assert await told_too.next() is not None
            router.booted_at_s = 1000
            announce(port, epoch_s=0)
            await until(lambda: router.asked == 4)


async def test_a_pinhole_of_ipv6() -> None:
    gateways = (GATEWAY, GATEWAY6)
    async with control_router("::1") as router:
        async with mapper(control_port=router.port, is_ipv6=True, gateways=lambda: gateways) as (_, told):
            mapping = await told.next()
            assert mapping is not None
            assert mapping.is_pinhole
            assert mapping.external == TransportAddress("::1", OURS)
        assert router.mapped == {}
