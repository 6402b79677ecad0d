"""Whoever runs the rendezvous and the relay can neither read nor impersonate."""

from __future__ import annotations

import asyncio
import base64
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import aiohttp
import msgspec
import pytest

from p2p.address import TransportAddress
from p2p.errors import IdentityError, P2PError
from p2p.forward.multiplexer import Multiplexer
from p2p.identity import Identity, Ticket
from p2p.identity.proof import _transcript
from p2p.identity.sealing import ReplayGuard
from p2p.path.demux import is_stun
from p2p.proto.signalling import early_login
from p2p.proto.signalling import messages as m
from p2p.proto.signalling.bodies import Answer, encode
from p2p.proto.signalling.messages import SignalRequest
from p2p.proto.tunnel import ticket_proof
from p2p.proto.tunnel.frames import AuthRequest, Hello
from p2p.quic import EngineConfig, QuicConnection, ServerCredentials, load_engine
from p2p.session.events import Connected, Problem, SessionClosed, SessionOpened
from p2p.session.exposer import Exposer
from p2p.session.options import RelayPolicy
from relay.core.allocation import RelayedSocket
from rendezvous.core.registry import Seat
from tests.support.hostile import hostile_world
from tests.support.peers import echo, echo_service, without_addresses
from tests.support.rendezvous_world import until

EVE = Identity.from_seed(b"eve" + bytes(29))
ONLY = {"relay_policy": RelayPolicy.ONLY}
MARKER = b"Nobody in between reads this sentence. "


def spellings(value: str | bytes) -> list[bytes]:
    """How a value might show in a message: as it is, in hex, in base64."""
    raw = value.encode() if isinstance(value, str) else value
    return [raw, raw.hex().encode(), base64.b64encode(raw).rstrip(b"="), base64.b32encode(raw).rstrip(b"=")]


async def test_signals_show_no_address_password_secret_or_nat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with hostile_world(tmp_path, monkeypatch) as (here, attacker), echo_service() as port:
        offer, _, _ = await here.expose(port)
        connector, news, _, address = await here.connect(without_addresses(offer.ticket))
        await news.wait_for(Connected)
        await echo(address, MARKER * 1000)
        secrets: list[str | bytes] = [Ticket.parse(offer.ticket).secret, "endpoint", "mapping", "candidate", "ufrag"]
        for program in (offer, connector):
            for session in program.sessions.values():
                secrets += [session.session_id, session.credentials.ufrag, session.credentials.password]
            for candidate in program.node.candidates:
                ip, number = candidate.address.ip, candidate.address.port
                secrets += [str(ip), f" {number} ", ip.packed + number.to_bytes(2, "big")]
        assert len(attacker.signals) >= 2
        for _, signal in attacker.signals:
            seen = m.encode(signal) + b"\n" + signal.body
            for secret in secrets:
                assert not any(spelling in seen for spelling in spellings(secret)), secret


async def _no_session(here: object, offer: Exposer, limit_s: float = 8.0) -> P2PError:
    """Dial, and see that no session comes of it, within a time that a person waits."""
    began_at = time.monotonic()
    _, news, task, _ = await here.connect(without_addresses(offer.ticket), options=here.options(timeout_s=2.0))  # type: ignore[attr-defined]
    result = await asyncio.wait_for(task, limit_s)
    assert isinstance(result, P2PError), result
    assert time.monotonic() - began_at < limit_s
    assert not [event for event in news.events if isinstance(event, Connected)]
    assert not offer.sessions
    return result


@pytest.mark.parametrize("knows_the_session", [False, True])
async def test_an_answer_by_somebody_else_is_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, knows_the_session: bool
) -> None:
    chosen: list[str] = []

    def new_session_id() -> str:
        chosen.append(os.urandom(16).hex())
        return chosen[-1]

    monkeypatch.setattr("p2p.session.connector.new_session_id", new_session_id)
    async with hostile_world(tmp_path, monkeypatch) as (here, attacker), echo_service() as port:
        offer, _, _ = await here.expose(port)
        exposer = Ticket.parse(offer.ticket).peer_id

        async def answer_oneself(signal: SignalRequest, sender: Seat) -> None:
            # Nobody but the exposer can read the session's id; suppose the attacker had got hold of it.
            answer = Answer(
                session=chosen[-1] if knows_the_session else os.urandom(16).hex(),
                ice={"ufrag": "evil", "password": "e" * 22},
                candidates=("candidate:1 1 udp 1 127.0.0.1 9 typ host",),
            )
            body = EVE.seal(sender.peer_id, encode(answer), now_wall=time.time())
            for name in (EVE.peer_id, exposer):
                await attacker.inject(sender.peer_id, sender.instance, name, body)
            # And the dialer's own words thrown back.
            await attacker.inject(sender.peer_id, sender.instance, exposer, signal.body)

        attacker.on_signal = answer_oneself
        error = await _no_session(here, offer)
        assert not isinstance(error, IdentityError)
        assert error.retryable


async def test_changed_signals_are_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with hostile_world(tmp_path, monkeypatch) as (here, attacker), echo_service() as port:
        offer, _, _ = await here.expose(port)

        async def change(signal: SignalRequest, sender: Seat) -> SignalRequest:
            place = os.urandom(1)[0] % len(signal.body)
            changed = bytearray(signal.body)
            changed[place] ^= 1 << os.urandom(1)[0] % 8
            return m.SignalRequest(to=signal.to, body=bytes(changed), instance=signal.instance, id=signal.id)

        attacker.on_signal = change
        assert (await _no_session(here, offer)).retryable
        assert offer.node.signalling.dropped_signals >= 1


class AttackersLink:
    """Sends the packets of the attacker's QUIC server out of the exposer's relayed address."""

    def __init__(self, send: Callable[[Sequence[bytes]], None]) -> None:
        self._send = send

    def send(self, datagrams: Sequence[bytes]) -> int:
        self._send(datagrams)
        return len(datagrams)

    def call_when_writable(self, callback: Callable[[], object]) -> None:
        asyncio.get_running_loop().call_soon(callback)

    def packets_lost(self) -> None:
        """It has no other way."""


@pytest.mark.parametrize("engine", ["qh3", "aioquic"])
async def test_tls_that_ends_in_the_middle_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    """The relay answers the dialer's first packet itself, with a certificate of its own.

    It sees that packet only when the exposer's answer did not bring the server's half of the handshake.
    """
    answer = Exposer._answer
    monkeypatch.setattr(
        Exposer, "_answer", lambda self, session: msgspec.structs.replace(answer(self, session), flight=())
    )
    asked: list[AuthRequest] = []
    authenticate = Multiplexer.authenticate
    monkeypatch.setattr(
        Multiplexer, "authenticate", lambda self, request: (asked.append(request), authenticate(self, request))[1]
    )
    servers: list[QuicConnection] = []
    async with hostile_world(tmp_path, monkeypatch) as (here, attacker), echo_service() as port:
        # All packets of the session pass the exposer's relayed address.
        offer, exposer_news, _ = await here.expose(port, options=here.options(**ONLY))
        loop = asyncio.get_running_loop()

        def terminate(socket: RelayedSocket, data: bytes, peer: TransportAddress, is_inbound: bool) -> bytes | None:
            if is_stun(data[0]):
                return data
            if is_inbound and not servers:
                initial_dcid = data[6 : 6 + data[5]]
                own = ServerCredentials(EVE.certificate_pem, EVE.private_key_pem)
                link = AttackersLink(lambda datagrams: attacker.send_from_relay(socket, datagrams, peer))
                half = load_engine("qh3").server(EngineConfig(), own, initial_dcid)
                servers.append(QuicConnection(loop, half, link, peer_public_key=None))
                servers[0].start()
            if is_inbound:
                servers[0].receive(data, len(data), loop.time())
                loop.call_soon(servers[0].after_receive, loop.time())
            return None

        attacker.on_relayed = terminate
        _, _, task, _ = await here.connect(without_addresses(offer.ticket), options=here.options(engine=engine))
        error = await asyncio.wait_for(task, 15)
        assert isinstance(error, IdentityError), error
        assert error.code == "P2P-2501"
        assert servers
        assert not asked, "the dialer proved something to the wrong server"
        assert not [event for event in exposer_news.events if isinstance(event, SessionOpened)]
        for server in servers:
            server.close()
            await server.wait_closed()


async def test_a_proof_is_worth_nothing_in_another_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The victim's offer is passed on, and its proof of another session shown in a connection of the attacker's."""
    proven: list[AuthRequest] = []
    authenticate = Multiplexer.authenticate

    def record(self: Multiplexer, request: AuthRequest, hello: Hello | None = None) -> None:
        if len(proven) != 1:
            proven.append(request)
            authenticate(self, request, hello)
        else:
            # The second connection is the attacker's: it completes the handshake and shows what it has recorded.
            proven.append(request)
            authenticate(self, proven[0], hello)

    monkeypatch.setattr(Multiplexer, "authenticate", record)
    async with hostile_world(tmp_path, monkeypatch) as (here, _), echo_service() as port:
        victim = Identity.load_or_create(tmp_path / "victim.pem").peer_id
        offer, exposer_news, _ = await here.expose(port, allow=(str(victim),))
        _, news, _, _ = await here.connect(without_addresses(offer.ticket), options=here.options("victim"))
        await news.wait_for(Connected)
        _, _, task, _ = await here.connect(without_addresses(offer.ticket), options=here.options("victim"))
        error = await asyncio.wait_for(task, 15)
        assert isinstance(error, IdentityError), error
        assert error.code == "P2P-6306"
        assert len(proven) == 2
        assert len([event for event in exposer_news.events if isinstance(event, SessionOpened)]) == 1


async def test_another_key_cannot_ride_on_the_victims_offer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The attacker has a ticket, and connects as itself where the victim, who is on the list, was announced."""
    monkeypatch.setattr("p2p.session.dialing.proof.make", lambda _, binding, server: _proof_of_eve(binding, server))
    for_eve = ticket_proof.make_ticket_proof

    def make_ticket_proof(**parts: bytes) -> bytes:
        # In the offer the victim speaks, whose binding is the session's id; in the connection it is the attacker.
        return for_eve(**parts if len(parts["binding"]) == 16 else {**parts, "dialer_id": EVE.peer_id.public_key})  # type: ignore[arg-type]

    monkeypatch.setattr("p2p.session.dialing.make_ticket_proof", make_ticket_proof)
    async with hostile_world(tmp_path, monkeypatch) as (here, _), echo_service() as port:
        victim = Identity.load_or_create(tmp_path / "victim.pem").peer_id
        offer, exposer_news, _ = await here.expose(port, allow=(str(victim),))
        _, _, task, _ = await here.connect(without_addresses(offer.ticket), options=here.options("victim"))
        error = await asyncio.wait_for(task, 15)
        assert isinstance(error, IdentityError), error
        assert error.code == "P2P-6306"
        assert not [event for event in exposer_news.events if isinstance(event, SessionOpened)]


def _proof_of_eve(binding: bytes, server: object) -> bytes:
    return EVE.peer_id.public_key + EVE.sign(_transcript(binding, EVE.peer_id, server))  # type: ignore[arg-type]


async def test_an_old_offer_opens_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with hostile_world(tmp_path, monkeypatch) as (here, attacker), echo_service() as port:
        offer, exposer_news, _ = await here.expose(port)
        connector, news, _, address = await here.connect(without_addresses(offer.ticket))
        await news.wait_for(Connected)
        sender, request = attacker.signals[0]
        exposer = Ticket.parse(offer.ticket).peer_id
        signalling = offer.node.signalling.rendezvous
        assert signalling is not None

        async def replay() -> None:
            await attacker.inject(exposer, request.instance, sender.peer_id, request.body)

        await replay()
        await until(lambda: signalling.dropped_signals == 1)
        assert len(offer.sessions) == 1
        await echo(address, MARKER)
        news.events.clear()
        for session in list(connector.sessions.values()):
            session.close()
        await exposer_news.wait_for(SessionClosed)
        await news.wait_for(Connected)
        taken = set(offer.sessions)
        await replay()
        await until(lambda: signalling.dropped_signals == 2)
        # A flood of messages makes the guard forget; the exposer itself still knows.
        signalling._inbox._guard = ReplayGuard()
        await replay()
        await until(lambda: len(signalling._inbox._guard) == 1)
        await asyncio.sleep(0.1)
        assert set(offer.sessions) == taken


async def test_an_old_login_is_refused_and_takes_nobodys_seat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with hostile_world(tmp_path, monkeypatch) as (here, attacker), echo_service() as port:
        offer, _, _ = await here.expose(port)
        (login,) = attacker.logins
        async with aiohttp.ClientSession() as session, session.ws_connect(f"{here.url}/v1/signal") as socket:
            await socket.receive()
            await socket.send_str(m.encode(login).decode())
            assert (await socket.receive_json())["code"] == "bad_signature"
        header = {"Authorization": early_login.to_header(login)}
        url = f"{here.url}/v1/signal"
        async with aiohttp.ClientSession() as session, session.ws_connect(url, headers=header) as socket:
            assert (await socket.receive_json())["type"] == "challenge"
        assert offer.node.signalling.connected
        _, news, _, _ = await here.connect(without_addresses(offer.ticket))
        await news.wait_for(Connected)


@pytest.mark.parametrize("side", ["both", "dialer", "exposer"])
async def test_the_relay_sees_no_payload_and_peers_no_addresses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, side: str
) -> None:
    async with hostile_world(tmp_path, monkeypatch) as (here, attacker), echo_service() as port:
        options = [here.options(**(ONLY if side in ("both", who) else {})) for who in ("exposer", "dialer")]
        offer, _, _ = await here.expose(port, options=options[0])
        connector, news, _, address = await here.connect(without_addresses(offer.ticket), options=options[1])
        await news.wait_for(Connected)
        payload = MARKER * 20_000
        await echo(address, payload)
        assert sum(map(len, attacker.relayed)) > 2 * len(payload)
        for datagram in attacker.relayed:
            for needle in (MARKER[:16], MARKER[-16:], offer.ticket.encode(), Ticket.parse(offer.ticket).secret):
                assert needle not in datagram
        hidden = {"both": (offer, connector), "dialer": (connector,), "exposer": (offer,)}[side]
        for program in hidden:
            own = {base.local_address.port for base in program.node.endpoint.sockets}
            # Whoever has the other side's allocation learns where its peers are.
            assert own.isdisjoint(peer.port for peer in attacker.peers)
            (other,) = {offer, connector} - {program}
            for session in other.sessions.values():
                for remote in session.controller.agent.remote_candidates:
                    assert remote.address.port not in own
                    assert remote.related is None or remote.related.port not in own


async def test_a_relay_that_drops_changes_and_repeats_only_slows_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with hostile_world(tmp_path, monkeypatch) as (here, attacker), echo_service() as port:
        count = 0

        def meddle(socket: RelayedSocket, data: bytes, peer: TransportAddress, is_inbound: bool) -> bytes | None:
            nonlocal count
            count += 1
            if count % 41 == 0:
                return None
            if count % 29 == 0 and not is_stun(data[0]):
                changed = bytearray(data)
                changed[len(changed) // 2] ^= 0x10
                return bytes(changed)
            if count % 31 == 0:
                attacker.send_from_relay(socket, (data, os.urandom(len(data))), peer)
            return data

        attacker.on_relayed = meddle
        offer, _, _ = await here.expose(port, options=here.options(**ONLY))
        _, news, _, address = await here.connect(without_addresses(offer.ticket), options=here.options(**ONLY))
        await news.wait_for(Connected, timeout_s=25)
        await asyncio.wait_for(echo(address, os.urandom(300_000)), 60)
        assert not [event for event in news.events if isinstance(event, Problem) and not event.error.retryable]
