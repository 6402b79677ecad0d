"""Several services in one session."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from p2p.address import TransportAddress
from p2p.session.events import Connected, Listening, Problem, Ready
from p2p.target import ServiceRates, Target, TcpTarget, UdpTarget
from tests.support.peers import News, echo, echo_service, world
from tests.support.udp_services import exchange, udp_client, udp_echo_service


async def address_of(news: News, service: str) -> TransportAddress:
    place = (await news.wait_for(Listening, service=service)).address
    assert isinstance(place, TcpTarget | UdpTarget)
    return TransportAddress(place.host, place.port)


async def test_every_service_appears_at_a_free_port_unless_told_otherwise(tmp_path: Path) -> None:
    async with world(tmp_path) as here, echo_service() as port, udp_echo_service() as udp:
        targets: dict[str, Target] = {"web": TcpTarget("127.0.0.1", port), "game": udp}
        offer, exposer_news, _ = await here.expose(targets)
        ready = await exposer_news.wait_for(Ready)
        assert ready.to_json()["services"] == {"web": f"127.0.0.1:{port}", "game": str(udp)}
        connector, news, _ = await here.connect_at(offer.ticket, None)
        await echo(await address_of(news, "web"), b"hello")
        with udp_client(await address_of(news, "game")) as sock:
            assert await exchange(sock, b"hello") == b"hello"
        assert connector.status.sessions[0].flows_total == 2


async def test_only_the_services_that_were_asked_for_appear(tmp_path: Path) -> None:
    async with world(tmp_path) as here, echo_service() as port, echo_service() as other:
        targets: dict[str, Target] = {"web": TcpTarget("127.0.0.1", port), "db": TcpTarget("127.0.0.1", other)}
        offer, _, _ = await here.expose(targets)
        _, news, _ = await here.connect_at(offer.ticket, {"db": TcpTarget("127.0.0.1", 0)})
        await news.wait_for(Connected)
        await echo(await address_of(news, "db"), b"hello")
        assert len([event for event in news.events if isinstance(event, Listening)]) == 1


async def test_one_service_alone_needs_no_name_and_speaks_what_it_speaks(tmp_path: Path) -> None:
    async with world(tmp_path) as here, udp_echo_service() as udp:
        offer, _, _ = await here.expose({"game": udp})
        for listen in (None, {"": UdpTarget("127.0.0.1", 0)}):
            _, news, _ = await here.connect_at(offer.ticket, listen)
            with udp_client(await address_of(news, "game" if listen is None else "")) as sock:
                assert await exchange(sock, b"hello") == b"hello"


async def test_a_service_that_is_not_on_offer_is_named_with_those_that_are(tmp_path: Path) -> None:
    async with world(tmp_path) as here, echo_service() as port:
        targets: dict[str, Target] = {"web": TcpTarget("127.0.0.1", port), "db": TcpTarget("127.0.0.1", port)}
        offer, _, _ = await here.expose(targets)
        for name, words in (("mail", "no service 'mail'"), ("", "there are several services")):
            _, news, _ = await here.connect_at(offer.ticket, {name: TcpTarget("127.0.0.1", 0)})
            error = (await news.wait_for(Problem)).error
            assert error.code == "P2P-6115"
            assert words in error.detail
            assert "there is web, db" in error.detail


@pytest.mark.parametrize("side", ["expose", "connect"])
async def test_a_service_is_as_fast_as_it_may_be_and_the_other_is_not_touched(tmp_path: Path, side: str) -> None:
    payload = bytes(600_000)
    limits = {"slow": ServiceRates(None, 4e5)}
    async with world(tmp_path) as here, echo_service() as port:
        targets: dict[str, Target] = {"slow": TcpTarget("127.0.0.1", port), "fast": TcpTarget("127.0.0.1", port)}
        offer, _, _ = await here.expose(targets, limits=limits if side == "expose" else {})
        _, news, _ = await here.connect_at(offer.ticket, None, limits=limits if side == "connect" else {})
        took_s = {}
        for name in targets:
            began_at = time.monotonic()
            await echo(await address_of(news, name), payload)
            took_s[name] = time.monotonic() - began_at
        assert took_s["slow"] > 1.2
        assert took_s["fast"] < took_s["slow"]


async def test_one_of_several_services_on_standard_input_and_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    class Flow:
        def __init__(self, loop: object) -> None:
            """Standard input and output are the test runner's: only the service matters here."""

        async def __aenter__(self) -> Flow:
            return self

        async def __aexit__(self, *exception: object) -> None:
            """Nothing to close."""

        def open(self, multiplexer: object, service: str, compression: object) -> None:
            opened.append(service)

        async def wait_closed(self) -> None:
            """It is over at once."""

    monkeypatch.setattr("p2p.session.connector.StdioFlow", Flow)
    async with world(tmp_path) as here, echo_service() as port:
        targets: dict[str, Target] = {"web": TcpTarget("127.0.0.1", port), "ssh": TcpTarget("127.0.0.1", port)}
        offer, _, _ = await here.expose(targets)
        for name in ("ssh", "mail"):
            _, news, task = await here.connect_at(offer.ticket, None, stdio=True, stdio_service=name)
            await news.wait_for(Connected)
            await task
            assert [event.error.code for event in news.events if isinstance(event, Problem)] == (
                ["P2P-6115"] if name == "mail" else []
            )
        assert opened == ["ssh", "mail"]
