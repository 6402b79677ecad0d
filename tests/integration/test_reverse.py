"""Services of the connecting side, reached from the exposing one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from p2p.address import TransportAddress
from p2p.session.events import Connected, Listening, Problem
from p2p.target import Target, TcpTarget, UdpTarget
from tests.support.peers import News, echo, echo_service, end, world
from tests.support.udp_services import exchange, udp_client, udp_echo_service

ENGINES = ("qh3", "aioquic")
ANYWHERE = TcpTarget("127.0.0.1", 0)


async def address_of(news: News, service: str = "") -> TransportAddress:
    place = (await news.wait_for(Listening, service=service)).address
    assert isinstance(place, TcpTarget | UdpTarget)
    return TransportAddress(place.host, place.port)


@pytest.mark.parametrize("dialer", ENGINES)
@pytest.mark.parametrize("exposer", ENGINES)
async def test_connections_and_datagrams_go_the_other_way(tmp_path: Path, dialer: str, exposer: str) -> None:
    async with world(tmp_path) as here, echo_service() as port, udp_echo_service() as udp, echo_service() as own:
        wanted: dict[str, Target] = {"web": ANYWHERE, "game": UdpTarget("127.0.0.1", 0)}
        offer, news, _ = await here.expose(own, options=here.options(engine=exposer), reverse=wanted)
        offered: dict[str, Target] = {"web": TcpTarget("127.0.0.1", port), "game": udp}
        _, dialer_news, _, address = await here.connect(
            offer.ticket, options=here.options(engine=dialer), reverse=offered
        )
        # Connections of more than a dialer takes before it knows the verdict wait for it.
        async with asyncio.TaskGroup() as group:
            for _ in range(12):
                group.create_task(echo(await address_of(news, "web"), b"hello"))
        with udp_client(await address_of(news, "game")) as sock:
            assert await exchange(sock, b"hello") == b"hello"
        await echo(address, b"and the usual way")
        assert not [event for event in dialer_news.events if isinstance(event, Problem)]


async def test_a_side_that_offers_nothing_needs_no_listener_here(tmp_path: Path) -> None:
    async with world(tmp_path) as here, echo_service() as port:
        offer, news, _ = await here.expose({}, reverse={"": ANYWHERE})
        _, dialer_news, _ = await here.connect_at(offer.ticket, None, reverse={"": TcpTarget("127.0.0.1", port)})
        await echo(await address_of(news), b"hello")
        assert not [event for event in dialer_news.events if isinstance(event, Listening)]


@pytest.mark.parametrize(
    ("wanted", "words"),
    [({}, "takes no services of ours"), ({"ssh": ANYWHERE}, "takes no service 'web'; it takes 'ssh'")],
)
async def test_what_the_exposing_side_does_not_want_is_told(
    tmp_path: Path, wanted: dict[str, Target], words: str
) -> None:
    async with world(tmp_path) as here, echo_service() as port:
        offer, _, _ = await here.expose(port, reverse=wanted)
        reverse = {"web": TcpTarget("127.0.0.1", port)}
        _, news, _ = await here.connect_at(offer.ticket, None, reverse=reverse)
        await news.wait_for(Connected)
        error = (await news.wait_for(Problem)).error
        assert error.code == "P2P-6131"
        assert words in error.detail


async def test_the_newest_session_has_the_service_and_the_one_before_gets_it_back(tmp_path: Path) -> None:
    async def greet(word: bytes) -> asyncio.Server:
        async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(word)
            writer.close()

        return await asyncio.start_server(serve, "127.0.0.1", 0)

    async def ask(address: TransportAddress) -> bytes:
        reader, writer = await asyncio.open_connection(*address)
        word = await reader.read()
        await end(writer)
        return word

    async with world(tmp_path) as here, await greet(b"one") as one, await greet(b"two") as two:
        offer, news, _ = await here.expose({}, reverse={"": ANYWHERE})
        address = await address_of(news)
        connectors = []
        for server in (one, two):
            target = TcpTarget("127.0.0.1", server.sockets[0].getsockname()[1])
            connector, dialer_news, _ = await here.connect_at(offer.ticket, None, reverse={"": target})
            await dialer_news.wait_for(Connected)
            connectors.append(connector)
            async with asyncio.timeout(10):
                while await ask(address) != (b"one" if server is one else b"two"):
                    await asyncio.sleep(0.02)
        for session in list(connectors[1].sessions.values()):
            session.close()
        async with asyncio.timeout(10):
            while await ask(address) == b"two":
                await asyncio.sleep(0.02)
