"""Knocks: the offer is there before the dialer's connection to the rendezvous, and nothing depends on it."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from p2p.address import TransportAddress
from p2p.errors import P2PError
from p2p.identity import Identity, Ticket
from p2p.proto.signalling.knocker import Knocker
from p2p.session import knocking
from p2p.session.dialing import Dial
from p2p.session.events import Connected, Problem
from p2p.session.options import RelayPolicy
from rendezvous.core.held import HeldAnswers
from tests.support.peers import SERVE, World, echo, echo_service, world
from tests.support.rendezvous_world import until


@pytest.fixture
def knocks(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bytes, ...]]:
    """The pieces of each knock that was made."""
    made: list[tuple[bytes, ...]] = []
    make = knocking.make_knock

    def note(*arguments: Any, **named: Any) -> tuple[bytes, ...]:
        made.append(make(*arguments, **named))
        return made[-1]

    monkeypatch.setattr("p2p.session.dialing.make_knock", note)
    return made


def stun_server(here: World) -> TransportAddress:
    assert here.servers is not None
    rendezvous = here.servers._rendezvous
    assert rendezvous is not None
    assert rendezvous.stun is not None
    return rendezvous.stun.public_addresses[0]


def by_rendezvous(ticket: str) -> str:
    """Leave out where the exposer can be called without a server."""
    return replace(Ticket.parse(ticket), direct_addresses=()).encode()


@pytest.fixture
def reach(monkeypatch: pytest.MonkeyPatch) -> Callable[[World], None]:
    """Let knocks go to the port that the servers of a test happen to have."""
    return lambda here: monkeypatch.setattr(knocking, "STUN_PORT", stun_server(here).port)


async def counts(here: World) -> dict[str, int]:
    async with aiohttp.ClientSession() as session, session.get(here.url.replace("ws", "http") + "/metrics") as answer:
        lines = (await answer.text()).splitlines()
    head = 'p2p_rendezvous_knocks_total{result="'
    return {line[len(head) :].partition('"')[0]: int(float(line.split()[-1])) for line in lines if head in line}


async def test_the_offer_goes_ahead(
    tmp_path: Path, reach: Callable[[World], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def send_nothing(dial: Dial) -> bool:
        """On loopback the login may be there first; the usual offer then goes out too."""
        return False

    monkeypatch.setattr(Dial, "_is_offer_needed", send_nothing)
    async with world(tmp_path) as here, echo_service() as port:
        reach(here)
        offer, _, _ = await here.expose(port)
        _, news, _, address = await here.connect(by_rendezvous(offer.ticket))
        await news.wait_for(Connected)
        await echo(address, b"hello")
        found = await counts(here)
        assert found.pop("taken") == 1
        assert set(found) <= {"incomplete", "repeated"}


async def test_no_knock_is_needed(tmp_path: Path, knocks: Sequence[object]) -> None:
    """Nobody listens where the knock goes."""
    async with world(tmp_path) as here, echo_service() as port:
        offer, _, _ = await here.expose(port)
        _, news, _, address = await here.connect(by_rendezvous(offer.ticket))
        await news.wait_for(Connected)
        await echo(address, b"hello")
        assert await counts(here) == {}
    assert len(knocks) == 1


async def test_an_answer_that_is_lost_is_asked_for_again(
    tmp_path: Path, reach: Callable[[World], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HeldAnswers, "collect", lambda self, guest, now: [])
    async with world(tmp_path) as here, echo_service() as port:
        reach(here)
        offer, _, _ = await here.expose(port)
        _, news, _, address = await here.connect(by_rendezvous(offer.ticket))
        await news.wait_for(Connected)
        await echo(address, b"hello")
        assert len(offer.sessions) == 1


async def test_a_knock_and_a_call_make_one_session(tmp_path: Path, reach: Callable[[World], None]) -> None:
    async with world(tmp_path) as here, echo_service() as port:
        reach(here)
        offer, _, _ = await here.expose(port)
        _, news, _, address = await here.connect(offer.ticket)
        await news.wait_for(Connected)
        await echo(address, b"hello")
        assert (await counts(here))["taken"] == 1
        assert len(offer.sessions) == 1


async def test_a_repeated_knock_reaches_nobody(
    tmp_path: Path, reach: Callable[[World], None], knocks: list[tuple[bytes, ...]]
) -> None:
    async with world(tmp_path) as here, echo_service() as port:
        reach(here)
        offer, _, _ = await here.expose(port)
        heard: list[object] = []
        assert offer.node.signalling.rendezvous is not None
        offer.node.signalling.rendezvous.on_knock = lambda *knock: heard.append(knock)
        await here.connect(by_rendezvous(offer.ticket))
        await until(lambda: heard)
        repeat = Knocker(stun_server(here), knocks[0], os.urandom)
        repeat.start(0.0)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            for datagram in repeat.datagrams_to_send(0.0):
                stranger.sendto(datagram.data, datagram.destination)
            async with asyncio.timeout(5):
                while (await counts(here)).get("repeated", 0) < len(knocks[0]):
                    await asyncio.sleep(0.01)
        assert len(heard) == 1


async def test_a_refusal_comes_back(tmp_path: Path, reach: Callable[[World], None]) -> None:
    async with world(tmp_path) as here, echo_service() as port:
        reach(here)
        offer, _, _ = await here.expose(port, allow=(str(Identity.generate().peer_id),))
        _, _, task, _ = await here.connect(by_rendezvous(offer.ticket))
        error = await asyncio.wait_for(task, 15)
        assert isinstance(error, P2PError)
        assert "not on the list" in str(error)


async def test_who_is_not_admitted_gets_no_answer(tmp_path: Path, reach: Callable[[World], None]) -> None:
    serve = replace(SERVE, open=False)
    async with world(tmp_path, serve) as here, echo_service() as port:
        reach(here)
        assert here.servers is not None
        token = here.servers.facts.token
        offer, _, _ = await here.expose(port, options=here.options(token=token))
        _, _, task, _ = await here.connect(by_rendezvous(offer.ticket))
        error = await asyncio.wait_for(task, 15)
        assert isinstance(error, P2PError)
        assert error.code == "P2P-3201"
        assert (await counts(here))["taken"] == 1
        assert all(not session.is_established for session in offer.sessions.values())


async def test_who_hides_behind_a_relay_does_not_knock(
    tmp_path: Path, reach: Callable[[World], None], knocks: Sequence[object]
) -> None:
    async with world(tmp_path) as here, echo_service() as port:
        reach(here)
        offer, _, _ = await here.expose(port)
        _, news, _, _ = await here.connect(
            by_rendezvous(offer.ticket), options=here.options(relay_policy=RelayPolicy.ONLY)
        )
        await news.wait_for(Connected)
    assert not knocks


async def test_an_attempt_that_has_become_old_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, knocks: Sequence[object]
) -> None:
    monkeypatch.setattr("p2p.session.dialing.DIAL_STALE_S", -1.0)
    async with world(tmp_path) as here, echo_service() as port:
        offer, _, _ = await here.expose(port)
        connector, news, _, address = await here.connect(by_rendezvous(offer.ticket))
        await news.wait_for(Connected)
        await echo(address, b"hello")
        assert len(connector.sessions) == 1
        assert not any(isinstance(event, Problem) for event in news.events)
    assert len(knocks) == 1
