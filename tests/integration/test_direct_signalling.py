"""Peers that meet without a rendezvous: by the addresses in a ticket, on loopback."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from p2p.address import TransportAddress
from p2p.aio.tasks import TaskScope
from p2p.cli.servers import Servers
from p2p.errors import ConfigError, P2PError
from p2p.identity import PeerId, Ticket
from p2p.proto.signalling.bodies import Answer, Offer, decode_untrusted
from p2p.session.connector import Connector
from p2p.session.events import Connected, Problem, Ready
from p2p.session.exposer import Exposer
from p2p.session.node import Node
from p2p.session.options import ConnectOptions, ExposeOptions, RelayPolicy
from p2p.session.peer_session import PeerSession
from p2p.session.status import PathKind, SignallingPhase
from p2p.target import TcpTarget
from tests.support.peers import SERVE, News, World, echo, echo_service, world

DEAD = "ws://127.0.0.1:9"


class LoopbackExposer(Exposer):
    """Without a rendezvous on this host nothing says that it is for this host only."""

    def make_node(self) -> Node:
        node = super().make_node()
        node.is_local = True
        return node


@asynccontextmanager
async def lan(folder: Path) -> AsyncIterator[World]:
    async with TaskScope() as scope, AsyncExitStack() as stack:
        yield World(folder, stack, scope, DEAD)


async def expose_without_server(peers: World, port: int, monkeypatch: pytest.MonkeyPatch) -> tuple[Exposer, News, Any]:
    async def silent(*_: object) -> None:
        """Multicast DNS is tried in the lab: nothing may leave this host here."""

    monkeypatch.setattr("p2p.session.exposer.announce", silent)
    monkeypatch.setattr("p2p.session.connector.look_on_lan", silent)
    monkeypatch.setattr("tests.support.peers.Exposer", LoopbackExposer)
    return await peers.expose(port, options=peers.options(rendezvous_urls=()), lan=True)


async def test_two_peers_without_any_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with echo_service() as port, lan(tmp_path) as peers:
        exposer, news, _ = await expose_without_server(peers, port, monkeypatch)
        ready = await news.wait_for(Ready)
        assert ready.rendezvous == ""
        ticket = Ticket.parse(ready.ticket)
        assert not ticket.rendezvous_urls
        assert {address.host for address in ticket.direct_addresses} <= {"127.0.0.1", "::1"}
        connector, events, _, address = await peers.connect(ready.ticket, options=peers.options(rendezvous_urls=()))
        connected = await events.wait_for(Connected)
        assert connected.path is PathKind.DIRECT
        await echo(address, b"x" * 300_000)
        for program in (exposer, connector):
            assert program.status.signalling is SignallingPhase.NONE
            assert program.status.rendezvous == ""
            json.dumps(program.status.to_json())
            assert program.status.sessions[0].path is PathKind.DIRECT
        assert connector.report().outages == 0


async def test_a_ticket_works_when_its_rendezvous_is_gone(tmp_path: Path) -> None:
    async with echo_service() as port, TaskScope() as scope, AsyncExitStack() as stack:
        async with Servers(SERVE) as servers:
            peers = World(tmp_path, stack, scope, servers.facts.rendezvous_url)
            _, news, _ = await peers.expose(port)
            ready = await news.wait_for(Ready)
        _, events, _, address = await peers.connect(ready.ticket)
        assert (await events.wait_for(Connected)).path is PathKind.DIRECT
        await echo(address, b"x" * 300_000)


async def test_a_ticket_with_old_addresses_works_by_its_rendezvous(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    monkeypatch.setattr(PeerSession, "permit_seen", lambda session, host: seen.append(host))
    async with echo_service() as port, world(tmp_path) as peers:
        _, news, _ = await peers.expose(port)
        ticket = Ticket.parse((await news.wait_for(Ready)).ticket)
        old = replace(ticket, direct_addresses=(TransportAddress("127.0.0.1", 9),)).encode()
        _, events, _, address = await peers.connect(old)
        await events.wait_for(Connected)
        await echo(address, b"hello")
        # The offer was made when the rendezvous had said where it sees the dialer, not when the addresses were called.
        assert seen == ["127.0.0.1"]


async def test_news_follow_the_offer_and_do_not_wait_for_its_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was news before the rendezvous let the dialer in must not hold up what is news after its offer."""
    heard: list[str] = []
    send, take = Exposer.send_signal, Exposer.signal_received

    def answer_late(exposer: Exposer, session: PeerSession, body: Any) -> None:
        if isinstance(body, Answer):
            asyncio.get_running_loop().call_later(0.5, lambda: (heard.append("answer"), send(exposer, session, body)))
        else:
            send(exposer, session, body)

    def note(exposer: Exposer, peer: Any, instance: str, data: bytes) -> None:
        heard.append(type(decode_untrusted(data)).__name__)
        take(exposer, peer, instance, data)

    monkeypatch.setattr(Exposer, "send_signal", answer_late)
    monkeypatch.setattr(Exposer, "signal_received", note)
    async with echo_service() as port, world(tmp_path) as peers:
        _, news, _ = await peers.expose(port)
        ticket = Ticket.parse((await news.wait_for(Ready)).ticket)
        away = replace(ticket, direct_addresses=(TransportAddress("127.0.0.1", 9),)).encode()
        _, events, _, _ = await peers.connect(away)
        await events.wait_for(Connected)
    # Loopback needs no answer: the exposer's checks and packets come to the addresses in the offer.
    before_the_answer = heard[: heard.index("answer")] if "answer" in heard else heard
    assert before_the_answer[0] == "Offer"
    assert "Trickle" in before_the_answer


async def test_an_offer_that_comes_on_both_ways_is_answered_with_the_same_packets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[Answer] = []
    taken: list[tuple[Any, ...]] = []
    send, take = Exposer.send_signal, Exposer.other_signal

    def note_answer(exposer: Exposer, session: PeerSession, body: Any) -> None:
        if isinstance(body, Answer):
            answers.append(body)
        send(exposer, session, body)

    def note_offer(exposer: Exposer, peer: Any, instance: str, body: Any, session: Any) -> None:
        if isinstance(body, Offer):
            taken.append((peer, instance, body))
        take(exposer, peer, instance, body, session)

    monkeypatch.setattr(Exposer, "send_signal", note_answer)
    monkeypatch.setattr(Exposer, "other_signal", note_offer)
    async with echo_service() as port, world(tmp_path) as peers:
        exposer, news, _ = await peers.expose(port)
        _, events, _, _ = await peers.connect((await news.wait_for(Ready)).ticket)
        await events.wait_for(Connected)
        peer, instance, offer = taken[0]
        exposer.other_signal(peer, instance, offer, exposer.sessions[offer.session])
        assert len(exposer.sessions) == 1
    assert len(answers) >= 2
    assert answers[0].flight
    assert all(answer.flight == answers[0].flight for answer in answers)


async def test_an_address_that_is_another_program_of_the_same_key_now(tmp_path: Path) -> None:
    """It must not refuse in the other one's name: the ticket's rendezvous knows better."""
    async with echo_service() as port, world(tmp_path) as peers:
        _, news, _ = await peers.expose(port, options=peers.options("key"), name="one")
        _, others, _ = await peers.expose(port, options=peers.options("key"), name="two")
        ticket = Ticket.parse((await news.wait_for(Ready)).ticket)
        other = Ticket.parse((await others.wait_for(Ready)).ticket)
        assert other.peer_id == ticket.peer_id
        mixed = replace(ticket, direct_addresses=other.direct_addresses).encode()
        _, events, _, address = await peers.connect(mixed)
        await events.wait_for(Connected)
        await echo(address, b"hello")


async def test_nothing_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with echo_service() as port, lan(tmp_path) as peers:
        exposer, news, _ = await expose_without_server(peers, port, monkeypatch)
        ticket = replace(
            Ticket.parse((await news.wait_for(Ready)).ticket),
            direct_addresses=(TransportAddress("127.0.0.1", 9),),
        )
        monkeypatch.setattr("p2p.signalling.ways.LAN_PATIENCE_S", 0.3)
        options = peers.options(rendezvous_urls=(), timeout_s=0.5)
        _, events, task, _ = await peers.connect(ticket.encode(), options=options)
        problem = await events.wait_for(Problem)
        assert problem.error.code == "P2P-3302"
        assert "127.0.0.1:9" in problem.error.detail
        assert (await task).code == "P2P-3302"
        assert not exposer.sessions


async def test_a_ticket_of_no_usable_key(tmp_path: Path) -> None:
    async with lan(tmp_path) as peers:
        ticket = Ticket(
            peer_id=PeerId(b"\x01" + bytes(31)),
            service="web",
            secret=bytes(16),
            direct_addresses=(TransportAddress("127.0.0.1", 9),),
        )
        _, _, task, _ = await peers.connect(ticket.encode(), options=peers.options(rendezvous_urls=()))
        assert (await task).code == "P2P-2301"


async def test_a_rendezvous_that_is_down_is_what_is_told(tmp_path: Path) -> None:
    async with echo_service() as port, world(tmp_path) as peers:
        _, news, _ = await peers.expose(port)
        ticket = replace(
            Ticket.parse((await news.wait_for(Ready)).ticket), direct_addresses=(TransportAddress("127.0.0.1", 9),)
        )
        options = peers.options(rendezvous_urls=(DEAD,), timeout_s=0.5)
        _, _, task, _ = await peers.connect(ticket.encode(), options=options)
        error = await task
        assert isinstance(error, P2PError)
        assert error.code == "P2P-3101"
        assert "127.0.0.1:9" in error.detail


async def test_an_imposter_with_the_ticket_gets_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who holds the ticket, but not the key, and answers at an address of it: the offer is sealed to another key."""
    async with echo_service() as port, lan(tmp_path) as peers:
        exposer, news, _ = await expose_without_server(peers, port, monkeypatch)
        ticket = Ticket.parse((await news.wait_for(Ready)).ticket)
        imposter = await _imposter(peers, ticket, port)
        answers = imposter.node.candidates[-1].address
        monkeypatch.setattr("p2p.signalling.ways.LAN_PATIENCE_S", 1.0)
        false = replace(ticket, direct_addresses=(answers,))
        options = peers.options(rendezvous_urls=(), timeout_s=1.0)
        _, events, task, _ = await peers.connect(false.encode(), options=options)
        assert (await task).code == "P2P-3302"
        assert imposter.node.signalling.dropped_signals > 0
        assert not imposter.sessions
        # Beside the true address it does not get in the way.
        both = replace(ticket, direct_addresses=(answers, *ticket.direct_addresses))
        _, events, _, address = await peers.connect(both.encode(), options=peers.options(rendezvous_urls=()))
        assert (await events.wait_for(Connected)).peer == str(ticket.peer_id)
        await echo(address, b"hello")
        assert len(exposer.sessions) == 1


async def _imposter(peers: World, ticket: Ticket, port: int) -> Exposer:
    """An exposer of another key that calls itself by the ticket of another one."""

    class Imposter(LoopbackExposer):
        def make_node(self) -> Node:
            node = super().make_node()
            from p2p.session.lan import direct_signalling

            direct = direct_signalling(
                ticket, node.identity, RelayPolicy.ALLOW, instance=ticket.service, is_dialer=False
            )
            node.signalling.direct = direct
            node.signalling.hear(self.signal_received)
            return node

    offer = ExposeOptions(targets={"": TcpTarget("127.0.0.1", port)}, name=ticket.service, lan=True)
    news = News()
    exposer = Imposter(offer, peers.options(rendezvous_urls=()), on_event=news.tell)
    await peers._stack.enter_async_context(exposer)
    return exposer


async def test_relay_only_shows_no_address_and_answers_no_call(tmp_path: Path) -> None:
    async with echo_service() as port, world(tmp_path) as peers:
        only = peers.options(relay_policy=RelayPolicy.ONLY)
        exposer, news, _ = await peers.expose(port, options=only)
        ready = await news.wait_for(Ready)
        assert Ticket.parse(ready.ticket).direct_addresses == ()
        assert exposer.node.signalling.direct is None
        assert exposer.node.endpoint.direct_signalling is None
        _, events, _, address = await peers.connect(ready.ticket)
        assert (await events.wait_for(Connected)).path is PathKind.RELAY
        await echo(address, b"hello")


def test_what_cannot_be(tmp_path: Path) -> None:
    only = World(tmp_path, AsyncExitStack(), TaskScope(), DEAD).options(
        rendezvous_urls=(), relay_policy=RelayPolicy.ONLY
    )
    offer = ExposeOptions(targets={"": TcpTarget("127.0.0.1", 1)}, lan=True)
    with pytest.raises(ConfigError, match="P2P-1140"):
        Exposer(offer, only, on_event=lambda event: None)


async def test_the_way_moves_to_the_rendezvous_and_back(tmp_path: Path) -> None:
    """A receipt that does not come sends a signal on the other way, and both sides stay in touch."""
    async with echo_service() as port, world(tmp_path) as peers:
        exposer, news, _ = await peers.expose(port)
        ready = await news.wait_for(Ready)
        connector, events, _, address = await peers.connect(ready.ticket)
        await events.wait_for(Connected)
        await asyncio.sleep(0)
        ways = connector.node.signalling
        peer, service = connector.ticket.peer_id, connector.ticket.service
        assert ways.direct is not None
        assert ways.direct.knows(peer, service)
        # The exposer does not hear us there any more.
        exposer.node.endpoint.direct_signalling = None
        async with asyncio.timeout(5):
            await ways.send(peer, b"{}", instance=service)
        assert exposer.node.signalling.connected
        await echo(address, b"hello")


def test_connect_options_have_no_rendezvous_of_their_own_for_a_ticket_without(tmp_path: Path) -> None:
    peers = World(tmp_path, AsyncExitStack(), TaskScope(), DEAD)
    ticket = Ticket(peer_id=_some_peer(), service="web", secret=bytes(16))
    connector = Connector(ConnectOptions(ticket=ticket.encode()), peers.options(), on_event=lambda event: None)
    assert connector._urls == ()


def _some_peer() -> Any:
    from p2p.identity import Identity

    return Identity.generate().peer_id
