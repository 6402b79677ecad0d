"""Datagrams through the real programs on loopback."""

from __future__ import annotations

import asyncio
import os
from contextlib import ExitStack
from pathlib import Path

import pytest

from p2p.session.events import Connected, Problem
from p2p.session.options import RelayPolicy
from p2p.target import TcpTarget, UdpTarget
from tests.support.peers import echo_service, end, world
from tests.support.udp_services import exchange, receive, udp_client, udp_echo_service

ENGINES = ("qh3", "aioquic")
ANYWHERE = UdpTarget("127.0.0.1", 0)


@pytest.mark.parametrize("dialer", ENGINES)
@pytest.mark.parametrize("exposer", ENGINES)
async def test_every_size_goes_both_ways_with_every_pairing_of_engines(
    tmp_path: Path, dialer: str, exposer: str
) -> None:
    async with world(tmp_path) as here, udp_echo_service() as service:
        offer, _, _ = await here.expose(service, options=here.options(engine=exposer))
        wish = here.options(engine=dialer)
        connector, news, _, address = await here.connect(offer.ticket, options=wish, listen=ANYWHERE)
        await news.wait_for(Connected)
        with udp_client(address) as sock:
            for size in (5, 0, 1, 64, 1100, 1167, 1168, 1400, 9000, 65_507):
                datagram = os.urandom(size)
                assert await exchange(sock, datagram) == datagram
        (status,) = connector.status.sessions
        assert (status.flows_open, status.datagrams_dropped) == (1, 0)
        assert connector.report().to_json()["datagrams_dropped"] == 0


async def test_over_a_relay_each_source_gets_its_own_answers(tmp_path: Path) -> None:
    async with world(tmp_path) as here, udp_echo_service() as service:
        only = here.options(relay_policy=RelayPolicy.ONLY)
        offer, _, _ = await here.expose(service)
        connector, news, _, address = await here.connect(offer.ticket, options=only, listen=ANYWHERE)
        await news.wait_for(Connected)
        with ExitStack() as stack:
            clients = [stack.enter_context(udp_client(address)) for _ in range(20)]
            answers = await asyncio.gather(*(exchange(sock, b"%d" % n) for n, sock in enumerate(clients)))
            assert answers == [b"%d" % n for n in range(20)]
        assert connector.status.sessions[0].flows_open == 20


async def test_a_batch_of_the_kernel_arrives_whole_and_in_order(tmp_path: Path) -> None:
    async with world(tmp_path) as here, udp_echo_service() as service:
        offer, _, _ = await here.expose(service)
        _, news, _, address = await here.connect(offer.ticket, listen=ANYWHERE)
        await news.wait_for(Connected)
        with udp_client(address) as sock:
            await exchange(sock, b"first")
            for number in range(200):
                sock.send(bytes((number,)) * 200)
            assert [(await receive(sock))[0] for _ in range(200)] == list(range(200))


async def test_a_service_that_is_not_there_is_told_on_the_exposing_side(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        async with udp_echo_service() as service:
            pass
        offer, exposer_news, _ = await here.expose(service)
        _, news, _, address = await here.connect(offer.ticket, listen=ANYWHERE)
        await news.wait_for(Connected)
        with udp_client(address) as sock:
            sock.send(b"anybody?")
            problem = await exposer_news.wait_for(Problem)
            assert problem.error.code == "P2P-6111"


@pytest.mark.parametrize("is_udp_exposed", [True, False])
async def test_the_wrong_kind_of_listener_is_told(tmp_path: Path, is_udp_exposed: bool) -> None:
    async with world(tmp_path) as here, udp_echo_service() as udp, echo_service() as port:
        offer, _, _ = await here.expose(udp if is_udp_exposed else port)
        listen = TcpTarget("127.0.0.1", 0) if is_udp_exposed else ANYWHERE
        _, news, _, address = await here.connect(offer.ticket, listen=listen)
        await news.wait_for(Connected)
        if is_udp_exposed:
            _, writer = await asyncio.open_connection(*address)
            problem = await news.wait_for(Problem)
            await end(writer)
        else:
            with udp_client(address) as sock:
                sock.send(b"hello")
                problem = await news.wait_for(Problem)
        assert problem.error.code == "P2P-6117"


async def test_a_drain_does_not_wait_for_datagrams(tmp_path: Path) -> None:
    async with world(tmp_path) as here, udp_echo_service() as service:
        offer, _, _ = await here.expose(service)
        connector, news, _, address = await here.connect(offer.ticket, listen=ANYWHERE)
        await news.wait_for(Connected)
        with udp_client(address) as sock:
            await exchange(sock, b"hello")
            async with asyncio.timeout(5):
                await connector.drain()


async def test_a_service_that_comes_late_is_reached_by_the_same_flow(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        async with udp_echo_service() as service:
            pass
        offer, exposer_news, _ = await here.expose(service)
        connector, news, _, address = await here.connect(offer.ticket, listen=ANYWHERE)
        await news.wait_for(Connected)
        with udp_client(address) as sock:
            sock.send(b"anybody?")
            await exposer_news.wait_for(Problem)
            async with udp_echo_service(service.host, service.port):
                assert await exchange(sock, b"now?") == b"now?"
        assert connector.status.sessions[0].flows_open == 1
