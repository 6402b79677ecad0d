"""Expose and connect over loopback, with the real servers in between."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from p2p.errors import IdentityError, P2PError
from p2p.identity import Identity, Ticket
from p2p.session.events import Connected, PathChanged, Problem, Relayed, SessionClosed, SessionOpened
from p2p.session.options import RelayPolicy
from p2p.session.status import PathKind
from tests.support.peers import echo, echo_service, world

ENGINES = ("qh3", "aioquic")
PAYLOAD = os.urandom(1 << 20)


@pytest.mark.parametrize("dialer", ENGINES)
@pytest.mark.parametrize("exposer", ENGINES)
async def test_every_pairing_of_engines_carries_bytes_both_ways(tmp_path: Path, dialer: str, exposer: str) -> None:
    async with world(tmp_path) as here, echo_service() as port:
        offer, _, _ = await here.expose(port, options=here.options(engine=exposer))
        _, news, _, address = await here.connect(offer.ticket, options=here.options(engine=dialer))
        await news.wait_for(Connected)
        async with asyncio.TaskGroup() as group:
            for _ in range(10):
                group.create_task(echo(address, PAYLOAD))


async def test_a_session_becomes_direct(tmp_path: Path) -> None:
    async with world(tmp_path) as here, echo_service() as port:
        offer, _, _ = await here.expose(port)
        connector, news, _, address = await here.connect(offer.ticket)
        first = await news.wait_for(Connected)
        if first.path is not PathKind.DIRECT:
            await news.wait_for(PathChanged, path=PathKind.DIRECT)
        await echo(address, PAYLOAD)
        (status,) = connector.status.sessions
        assert status.path is PathKind.DIRECT
        assert status.bytes_in == status.bytes_out == len(PAYLOAD)
        assert status.flows_total == 1


@pytest.mark.parametrize("side", ["dialer", "exposer"])
async def test_relay_only_never_becomes_direct_and_says_why(tmp_path: Path, side: str) -> None:
    async with world(tmp_path) as here, echo_service() as port:
        only = {"relay_policy": RelayPolicy.ONLY}
        offer, _, _ = await here.expose(port, options=here.options(**only if side == "exposer" else {}))
        connector, news, _, address = await here.connect(
            offer.ticket, options=here.options(**only if side == "dialer" else {})
        )
        connected = await news.wait_for(Connected)
        assert connected.path is PathKind.RELAY
        await echo(address, PAYLOAD)
        told = await news.wait_for(Relayed)
        assert told.reason.code == "direct-disabled"
        assert told.reason.certain
        assert "relay" in told.reason.remedy
        assert any(pair.relayed and pair.attempts for pair in told.pairs)
        (status,) = connector.status.sessions
        assert status.path is PathKind.RELAY
        assert status.relayed is not None


async def test_without_a_relay_the_direct_path_carries_the_session(tmp_path: Path) -> None:
    async with world(tmp_path) as here, echo_service() as port:
        never = {"relay_policy": RelayPolicy.NEVER}
        offer, _, _ = await here.expose(port, options=here.options(**never))
        _, news, _, address = await here.connect(offer.ticket, options=here.options(**never))
        assert (await news.wait_for(Connected)).path is PathKind.DIRECT
        await echo(address, PAYLOAD)


async def test_one_identity_exposes_and_connects_at_once(tmp_path: Path) -> None:
    async with world(tmp_path) as here, echo_service() as port, echo_service() as other_port:
        first, _, _ = await here.expose(port, options=here.options("me"), name="first")
        second, _, _ = await here.expose(other_port, options=here.options("me"), name="second")
        for offer in (first, second):
            _, news, _, address = await here.connect(offer.ticket, options=here.options("me"))
            await news.wait_for(Connected)
            await echo(address, b"hello")


async def _refusal(here: object, ticket: str, **options: object) -> P2PError:
    _, _, task, _ = await here.connect(ticket, options=here.options(**options))  # type: ignore[attr-defined]
    result = await asyncio.wait_for(task, 15)
    assert isinstance(result, P2PError), result
    return result


async def test_a_wrong_secret_is_refused(tmp_path: Path) -> None:
    async with world(tmp_path) as here, echo_service() as port:
        offer, _, _ = await here.expose(port)
        forged = replace(Ticket.parse(offer.ticket), secret=bytes(16)).encode()
        error = await _refusal(here, forged)
        assert isinstance(error, IdentityError)
        assert error.code == "P2P-6302"


async def test_another_service_than_the_one_on_offer_is_not_there(tmp_path: Path) -> None:
    async with world(tmp_path) as here, echo_service() as port:
        offer, _, _ = await here.expose(port, name="web")
        other = replace(Ticket.parse(offer.ticket), service="other").encode()
        _, news, _, _ = await here.connect(other)
        problem = await news.wait_for(Problem)
        assert problem.error.code == "P2P-3301"


async def test_an_expired_ticket_is_refused_on_both_sides(tmp_path: Path) -> None:
    async with world(tmp_path) as here, echo_service() as port:
        offer, _, _ = await here.expose(port, expires_s=3600)
        with pytest.raises(IdentityError) as caught:
            await here.connect(replace(Ticket.parse(offer.ticket), expires_wall=int(time.time()) - 1).encode())
        assert caught.value.code == "P2P-2204"
        # The exposer does not believe the ticket's own word.
        offer._access.expires_wall = int(time.time()) - 1
        error = await _refusal(here, replace(Ticket.parse(offer.ticket), expires_wall=None).encode())
        assert error.code == "P2P-6303"


async def test_a_stranger_is_refused_though_it_has_the_ticket(tmp_path: Path) -> None:
    friend = Identity.load_or_create(tmp_path / "friend.pem").peer_id
    async with world(tmp_path) as here, echo_service() as port:
        offer, _, _ = await here.expose(port, allow=(str(friend),))
        assert (await _refusal(here, offer.ticket)).code == "P2P-6304"
        _, news, _, address = await here.connect(offer.ticket, options=here.options("friend"))
        await news.wait_for(Connected)
        await echo(address, b"hello")


async def test_once_ends_after_the_first_session(tmp_path: Path) -> None:
    async with world(tmp_path) as here, echo_service() as port:
        offer, news, task = await here.expose(port, once=True)
        connector, connector_news, _, address = await here.connect(offer.ticket)
        await connector_news.wait_for(Connected)
        await echo(address, b"hello")
        assert (await _refusal(here, offer.ticket)).code == "P2P-6305"
        await connector.drain()
        for session in list(connector.sessions.values()):
            session.close()
        await news.wait_for(SessionClosed)
        report = await asyncio.wait_for(task, 5)
        assert len(report.sessions) == 1


async def test_the_connector_comes_back_when_the_exposer_restarts(tmp_path: Path) -> None:
    async with world(tmp_path) as here, echo_service() as port:
        offer, _, _ = await here.expose(port, options=here.options("exposer"), name="web")
        _, news, _, address = await here.connect(offer.ticket)
        await news.wait_for(Connected)
        for session in list(offer.sessions.values()):
            session.close()
        closed = await news.wait_for(SessionClosed)
        assert closed.code is None
        news.events.clear()
        await news.wait_for(Connected)
        await echo(address, PAYLOAD)


async def test_the_peers_see_each_others_keys(tmp_path: Path) -> None:
    async with world(tmp_path) as here, echo_service() as port:
        offer, exposer_news, _ = await here.expose(port)
        connector, news, _, _ = await here.connect(offer.ticket)
        connected = await news.wait_for(Connected)
        opened = await exposer_news.wait_for(SessionOpened)
        assert connected.peer == offer.status.peer_id
        assert opened.peer == connector.status.peer_id
