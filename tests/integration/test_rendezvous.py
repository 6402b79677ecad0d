"""The rendezvous and its client over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import time
from dataclasses import replace

import aiohttp
import pytest

from p2p.address import TransportAddress
from p2p.errors import ConfigError, SignallingError
from p2p.identity import PeerId
from p2p.proto.signalling import early_login
from p2p.proto.signalling import messages as m
from p2p.signalling import SignallingClient, SignallingState
from p2p.signalling import client as client_module
from p2p.signalling.dialer import Dialer
from rendezvous.core.admission import AdmissionToken
from rendezvous.core.registry import Member, MemoryRegistry, Seat
from rendezvous.service import Limits, RendezvousService, StunConfig
from tests.support.rendezvous_world import ALICE, BASE, BOB, EVE, raw, until, url_of


async def test_two_peers_meet() -> None:
    heard: list[tuple[PeerId, bytes]] = []
    async with (
        RendezvousService(BASE) as service,
        SignallingClient([url_of(service)], ALICE) as alice,
        SignallingClient([url_of(service)], BOB) as bob,
    ):
        bob.on_signal = lambda sender, _, body: heard.append((sender, body))
        welcome = await bob.welcome()
        assert welcome.observed_address.host == "127.0.0.1"
        await bob.publish("web")
        assert await alice.resolve(BOB.peer_id, "web") == (resolution := await alice.resolve(BOB.peer_id, "web"))
        assert (resolution.online, resolution.published) == (True, True)
        assert not (await alice.resolve(BOB.peer_id, "db")).published
        assert not (await alice.resolve(EVE.peer_id, "web")).online
        for number in range(20):
            await alice.send(BOB.peer_id, b"%d" % number, confirm=number % 2 == 0)
        await until(lambda: len(heard) == 20)
        assert heard == [(ALICE.peer_id, b"%d" % number) for number in range(20)]
        await bob.unpublish("web")
        assert not (await alice.resolve(BOB.peer_id, "web")).published


async def test_an_offline_peer_is_reported_at_once() -> None:
    async with RendezvousService(BASE) as service, SignallingClient([url_of(service)], ALICE) as alice:
        await alice.welcome()
        began_at = time.monotonic()
        with pytest.raises(SignallingError) as caught:
            await alice.send(BOB.peer_id, b"hello")
        assert caught.value.code == "P2P-3301"
        assert time.monotonic() - began_at < 1
        await alice.send(BOB.peer_id, b"hello", confirm=False)
        await until(lambda: alice.last_error is not None and alice.last_error.code == "P2P-3301")


async def test_messages_right_behind_the_login_are_served_in_order() -> None:
    async with RendezvousService(BASE) as service, raw(service) as client:
        await client.log_in(ALICE)
        await client.send(m.Publish(id=1, service="web"))
        await client.send(m.Resolve(id=2, peer=str(ALICE.peer_id), service="web"))
        assert [(await client.receive())["type"] for _ in range(3)] == ["welcome", "done", "resolved"]


async def test_the_same_key_takes_over_and_the_old_session_is_told_why() -> None:
    async with RendezvousService(BASE) as service, SignallingClient([url_of(service)], ALICE) as old:
        states: list[SignallingState] = []
        await old.welcome()
        await old.publish("web")
        old.on_state = states.append
        began_at = time.monotonic()
        async with SignallingClient([url_of(service)], ALICE) as new, SignallingClient([url_of(service)], BOB) as bob:
            await new.welcome()
            await until(lambda: old.state is SignallingState.FAILED)
            assert time.monotonic() - began_at < 1
            with pytest.raises(SignallingError) as caught:
                await old.welcome()
            assert caught.value.code == "P2P-3204"
            heard: list[bytes] = []
            new.on_signal = lambda _, __, body: heard.append(body)
            await bob.send(ALICE.peer_id, b"to the new one")
            await until(lambda: heard)
            assert not (await bob.resolve(ALICE.peer_id, "web")).published
        assert states == [SignallingState.FAILED]


async def test_another_key_can_never_take_over() -> None:
    async with RendezvousService(BASE) as service, SignallingClient([url_of(service)], ALICE) as alice:
        await alice.welcome()
        async with raw(service) as eve:
            await eve.log_in(ALICE, signer=EVE)
            assert (await eve.receive())["code"] == "bad_signature"
            assert await eve.closed() == 1000
        async with raw(service) as eve:
            await eve.log_in(EVE, peer=str(ALICE.peer_id))
            assert (await eve.receive())["code"] == "bad_signature"
        assert alice.connected


async def test_a_replayed_login_is_refused() -> None:
    async with RendezvousService(BASE) as service:
        async with raw(service) as alice:
            captured = await alice.log_in(ALICE)
            assert (await alice.receive())["type"] == "welcome"
            await alice.send(captured)
            assert (await alice.receive())["code"] == "unexpected"
        async with raw(service) as eve:
            await eve.receive()
            await eve.send(captured)
            assert (await eve.receive())["code"] == "bad_signature"


async def test_a_login_with_the_upgrade_is_welcome_at_once_and_only_once() -> None:
    identity = ALICE
    nonce = early_login.make_nonce(time.time() + 1, os.urandom)  # after the start of the server
    signed = m.login_transcript(nonce, bytes(identity.peer_id), "127.0.0.1", is_early=True)
    login = m.Login(
        version=1, peer=str(identity.peer_id), signature=identity.sign(signed), host="127.0.0.1", nonce=nonce
    )
    async with RendezvousService(BASE) as service:
        async with raw(service, Authorization=early_login.to_header(login)) as client:
            assert (await client.receive())["type"] == "welcome"
        async with raw(service, Authorization=early_login.to_header(login)) as client:
            assert (await client.receive())["type"] == "challenge"


async def test_a_login_meant_for_another_server_is_refused() -> None:
    async with (
        RendezvousService(replace(BASE, names=frozenset({"rv.example.com"}))) as service,
        SignallingClient([url_of(service)], ALICE) as alice,
    ):
        with pytest.raises(SignallingError, match="wrong_host") as caught:
            await alice.welcome()
        assert caught.value.code == "P2P-3203"
        assert alice.state is SignallingState.FAILED


async def test_admission_tokens_admit_limit_and_are_revoked_live() -> None:
    web = AdmissionToken(secret="web-secret", name="alice", services=("web",), relay=False)
    everything = AdmissionToken(secret="all-secret", name="bob")
    config = replace(BASE, is_open=False, tokens=(web, everything), relay_urls=("turn:192.0.2.1",), relay_secret="s")
    async with RendezvousService(config) as service:
        for token, code in ((None, "P2P-3201"), ("wrong", "P2P-3202")):
            async with SignallingClient([url_of(service)], EVE, token=token) as eve:
                with pytest.raises(SignallingError) as caught:
                    await eve.welcome()
                assert caught.value.code == code
        async with (
            SignallingClient([url_of(service)], ALICE, token="web-secret") as alice,
            SignallingClient([url_of(service)], BOB, token="all-secret") as bob,
        ):
            assert (await alice.welcome()).turn == ()
            assert len((await bob.welcome()).turn) == 1
            await alice.publish("web")
            with pytest.raises(SignallingError) as caught:
                await alice.publish("db")
            assert caught.value.code == "P2P-3205"
            service.reload(replace(config, tokens=(everything,)))
            await until(lambda: alice.state is SignallingState.WAITING)
            assert alice.last_error is not None
            assert alice.last_error.code == "P2P-3202"
            assert bob.connected


async def test_a_token_ends_at_its_expiry() -> None:
    token = AdmissionToken(secret="short", name="a", expires_wall=time.time() + 0.2)
    async with RendezvousService(replace(BASE, is_open=False, tokens=(token,))) as service, raw(service) as client:
        await client.log_in(ALICE, token="short")
        assert (await client.receive())["type"] == "welcome"
        assert (await client.receive())["code"] == "token_refused"


async def test_too_many_messages_are_refused_and_then_end_the_connection() -> None:
    limits = Limits(messages_per_s=0.001, message_burst=3)
    async with RendezvousService(replace(BASE, limits=limits)) as service, raw(service) as client:
        await client.log_in(ALICE)
        for number in range(200):
            await client.send(m.Resolve(id=number, peer=str(BOB.peer_id), service="web"))
        answers = [await client.receive() for _ in range(5)]
        assert [answer["type"] for answer in answers] == ["welcome", "resolved", "resolved", "resolved", "error"]
        assert (answers[4]["code"], answers[4]["id"]) == ("rate_limited", 3)
        assert await client.closed() == 1000


async def test_connections_of_an_address_are_limited() -> None:
    async with RendezvousService(replace(BASE, limits=Limits(connections_per_address=2))) as service:
        async with raw(service), raw(service):
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                async with raw(service):
                    pass
            assert caught.value.status == 429
        await until(lambda: service.connection_count == 0)
        async with raw(service) as client:
            assert (await client.receive())["type"] == "challenge"


async def test_connections_in_all_are_limited() -> None:
    async with RendezvousService(replace(BASE, limits=Limits(connections=1))) as service, raw(service):
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            async with raw(service):
                pass
        assert caught.value.status == 503


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "nonsense",
        "[]",
        '{"type": "login"}',
        '{"type": "renew", "id": "x"}',
        '{"type": "renew", "id": 1}',
        b"\x00\xff",
    ],
)
async def test_malformed_frames_are_answered_and_leave_the_connection(frame: str | bytes) -> None:
    async with RendezvousService(BASE) as service, raw(service) as client:
        if isinstance(frame, bytes):
            await client.socket.send_bytes(frame)
        else:
            await client.socket.send_str(frame)
        await client.socket.send_str('{"type": "of the future", "x": 1}')
        await client.log_in(ALICE)
        answer = await client.receive()
        assert answer["type"] == "error"
        assert answer["code"] == ("not_logged_in" if frame == '{"type": "renew", "id": 1}' else "malformed")
        assert (await client.receive())["type"] == "welcome"


async def test_a_failure_of_the_server_ends_its_connection_only(caplog: pytest.LogCaptureFixture) -> None:
    class BrokenStore(MemoryRegistry):
        async def publish(self, seat: Seat, member: Member, service: str) -> None:
            raise RuntimeError("the store is broken")

    store = BrokenStore(services_per_peer=1)
    async with RendezvousService(BASE, store=store) as service, SignallingClient([url_of(service)], BOB) as bob:
        await bob.welcome()
        async with raw(service) as alice:
            await alice.log_in(ALICE)
            await alice.send(m.Publish(id=1, service="web"))
            assert (await alice.receive())["type"] == "welcome"
            assert (await alice.receive())["code"] == "internal"
            assert await alice.closed() == 1000
        assert not (await bob.resolve(ALICE.peer_id, "web")).online
    assert "the store is broken" in caplog.text


async def test_an_oversized_frame_ends_its_connection_only() -> None:
    async with RendezvousService(BASE) as service, SignallingClient([url_of(service)], ALICE) as alice:
        async with raw(service) as eve:
            await eve.log_in(EVE)
            await eve.socket.send_str(" " * (m.MESSAGE_MAX_BYTES + 1))
            assert await eve.closed() == 1009
        await alice.welcome()
        assert not (await alice.resolve(EVE.peer_id, "web")).online


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x04\x05\x06",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\xff" * 100_000,
        b"GET /v1/signal HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x00",
    ],
)
async def test_garbage_leaves_the_server_serving(garbage: bytes) -> None:
    async with RendezvousService(
        replace(BASE, stun=StunConfig(addresses=("127.0.0.1",), port=0, alternate_port=None, tcp=False))
    ) as service:
        address = service.listen_addresses[0]
        for _ in range(3):
            reader, writer = await asyncio.open_connection(*address)
            writer.write(garbage)
            writer.write_eof()
            with contextlib.suppress(ConnectionError):
                await asyncio.wait_for(reader.read(), 5)
            writer.close()
        async with SignallingClient([url_of(service)], ALICE) as alice:
            await alice.welcome()


async def test_a_client_that_does_not_read_is_disconnected_and_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rendezvous.connection.RENDEZVOUS_STUCK_S", 0.2)
    limits = Limits(messages_per_s=1e6, message_burst=1_000_000, send_buffer_bytes=64 << 10)
    async with (
        RendezvousService(replace(BASE, limits=limits)) as service,
        SignallingClient([url_of(service)], ALICE) as alice,
        raw(service) as slow,
    ):
        await slow.log_in(BOB)
        assert (await slow.receive())["type"] == "welcome"
        transport = slow.socket._writer.transport
        assert transport is not None
        transport.pause_reading()
        began_at = time.monotonic()
        with pytest.raises(SignallingError) as caught:
            for _ in range(5000):
                await alice.send(BOB.peer_id, bytes(10_000))
        assert caught.value.code == "P2P-3301"
        assert time.monotonic() - began_at < 20
        await until(lambda: service.connection_count == 1)
        transport.abort()


async def test_a_flood_of_signals_does_not_get_the_receiver_disconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rendezvous.connection.RENDEZVOUS_STUCK_S", 0.5)
    limits = Limits(messages_per_s=1e6, message_burst=1_000_000, send_buffer_bytes=64 << 10)
    codes: list[str] = []
    async with (
        RendezvousService(replace(BASE, limits=limits)) as service,
        SignallingClient([url_of(service)], ALICE) as alice,
        raw(service) as victim,
    ):
        await victim.log_in(BOB)
        assert (await victim.receive())["type"] == "welcome"
        transport = victim.socket._writer.transport
        assert transport is not None
        ends_at = time.monotonic() + 2
        while time.monotonic() < ends_at:
            # A line that takes a message now and then, far fewer than are sent.
            try:
                await alice.send(BOB.peer_id, bytes(10_000))
            except SignallingError as error:
                codes.append(error.code)
                if len(codes) % 20 == 0:
                    assert [(await victim.receive())["type"] for _ in range(10)] == ["signal"] * 10
        assert len(codes) > 100
        assert set(codes) == {"P2P-3301"}
        assert service.connection_count == 2
        transport.abort()


async def test_a_client_that_asks_and_does_not_read_the_answers_is_disconnected() -> None:
    limits = Limits(messages_per_s=1e6, message_burst=1_000_000, send_buffer_bytes=16 << 10)
    async with RendezvousService(replace(BASE, limits=limits)) as service, raw(service) as slow:
        await slow.log_in(BOB)
        await slow.receive()
        transport = slow.socket._writer.transport
        assert transport is not None
        transport.pause_reading()
        with contextlib.suppress(ConnectionError):
            for number in range(100_000):
                await slow.send(m.Renew(id=number))
                if service.connection_count == 0:
                    break
        await until(lambda: service.connection_count == 0)
        transport.abort()


async def test_drain_tells_clients_refuses_new_ones_and_ends() -> None:
    async with RendezvousService(BASE) as service, aiohttp.ClientSession() as session, raw(service) as client:
        health = f"http://{service.listen_addresses[0]}/healthz"
        async with session.get(health) as response:
            assert (response.status, await response.text()) == (200, "ok\n")
        await client.log_in(ALICE)
        await client.receive()
        async with asyncio.TaskGroup() as tasks:
            draining = tasks.create_task(service.drain(0.5))
            assert (await client.receive())["type"] == "draining"
            async with session.get(health) as response:
                assert response.status == 503
            with pytest.raises(aiohttp.WSServerHandshakeError):
                async with raw(service):
                    pass
            assert not draining.done()
            assert (await client.receive())["code"] == "draining"
            assert await client.closed() == 1000


async def test_a_client_that_knows_another_server_moves_there_while_the_first_drains() -> None:
    async with (
        RendezvousService(BASE) as first,
        RendezvousService(BASE) as second,
        SignallingClient([url_of(first), url_of(second)], ALICE, random_share=lambda: 0.1) as alice,
    ):
        await alice.welcome()
        await alice.publish("web")
        assert alice.url == url_of(first) + "/v1/signal"
        await first.drain(2)
        await until(lambda: alice.url == url_of(second) + "/v1/signal")
        async with SignallingClient([url_of(second)], BOB) as bob:
            assert (await bob.resolve(ALICE.peer_id, "web")).published


async def test_the_client_comes_back_after_a_restart_and_publishes_again() -> None:
    heard: list[bytes] = []
    async with contextlib.AsyncExitStack() as stack:
        first = RendezvousService(BASE)
        await first.__aenter__()
        port = first.listen_addresses[0]
        clients = [
            await stack.enter_async_context(SignallingClient([url_of(first)], identity)) for identity in (ALICE, BOB)
        ]
        alice, bob = clients
        alice.on_signal = lambda _, __, body: heard.append(body)
        await alice.publish("web")
        await bob.welcome()
        await first.__aexit__(None, None, None)
        await until(lambda: not alice.connected and not bob.connected)
        async with asyncio.TaskGroup() as tasks:
            # Asked for while there is no server: answered by the next one.
            sending = tasks.create_task(bob.resolve(ALICE.peer_id, "web"))
            await asyncio.sleep(0.3)
            second = await stack.enter_async_context(RendezvousService(replace(BASE, listen=(port,))))
            await sending
        assert second.listen_addresses == (port,)
        await until(lambda: alice.connected)
        assert (await bob.resolve(ALICE.peer_id, "web")).published
        await bob.send(ALICE.peer_id, b"again")
        await until(lambda: heard)
        for client in clients:
            await client.__aexit__(None, None, None)
        stack.pop_all()
        await second.__aexit__(None, None, None)


async def test_a_client_with_no_server_says_so_and_ends_cleanly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "SIGNALLING_REQUEST_TIMEOUT_S", 0.2)
    async with SignallingClient(["ws://127.0.0.1:9"], ALICE) as alice:
        with pytest.raises(SignallingError) as caught:
            await alice.send(BOB.peer_id, b"x")
        assert caught.value.code == "P2P-3105"
        assert alice.last_error is not None
        assert alice.last_error.code == "P2P-3101"
    with pytest.raises(ConfigError):
        SignallingClient([], ALICE)
    with pytest.raises(SignallingError):
        await SignallingClient(["ws://127.0.0.1:9"], ALICE).welcome()


async def test_the_second_url_is_tried_when_the_first_does_not_answer() -> None:
    async with (
        RendezvousService(BASE) as service,
        SignallingClient(["ws://127.0.0.1:9", url_of(service)], ALICE) as alice,
    ):
        await alice.welcome()
        assert alice.url == url_of(service) + "/v1/signal"


async def test_the_second_url_joins_when_the_first_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(Dialer.__init__.__kwdefaults__, "spacing_s", 0.05)
    over = asyncio.Event()

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.close()

    async with (
        RendezvousService(BASE) as service,
        await asyncio.start_server(wait, "127.0.0.1", 0) as silent,
        SignallingClient([f"ws://127.0.0.1:{silent.sockets[0].getsockname()[1]}", url_of(service)], ALICE) as alice,
    ):
        async with asyncio.timeout(5):
            await alice.welcome()
        assert alice.url == url_of(service) + "/v1/signal"
        over.set()


async def test_two_urls_of_one_server_do_not_take_over_from_each_other() -> None:
    """A login that was given up may still come in, by its own connection, after the one that won."""
    async with RendezvousService(BASE) as service:
        url = url_of(service)
        async with SignallingClient([url], ALICE) as alice:
            await alice.welcome()
            link = alice._link
            assert link is not None
            link.has_rival = True
            async with raw(service) as rival:
                await rival.log_in(ALICE)
                await until(lambda: alice.state is SignallingState.CONNECTED and alice._link is not link)


async def test_reconnect_makes_the_connection_anew_at_once() -> None:
    async with RendezvousService(BASE) as service, SignallingClient([url_of(service)], ALICE) as alice:
        first = await alice.welcome()
        welcomes: list[m.Welcome] = []
        alice.on_welcome = welcomes.append
        alice.reconnect()
        await until(lambda: welcomes)
        assert first.observed_address != welcomes[0].observed_address


class DeadWire:
    """A TCP proxy that can stop passing anything on, as a network that has gone away."""

    def __init__(self, destination: TransportAddress) -> None:
        self.destination = destination
        self.is_dead = False
        self.writers: list[asyncio.StreamWriter] = []

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        is_old = len(self.writers)
        far_reader, far_writer = await asyncio.open_connection(*self.destination)
        self.writers += [writer, far_writer]

        async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError):
                while data := await source.read(4096):
                    if not (self.is_dead and is_old == 0):
                        sink.write(data)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(copy(reader, far_writer))
            tasks.create_task(copy(far_reader, writer))
        for end in (writer, far_writer):
            end.close()


async def test_reconnect_does_not_wait_for_a_network_that_is_gone() -> None:
    async with RendezvousService(BASE) as service:
        wire = DeadWire(service.listen_addresses[0])
        server = await asyncio.start_server(wire.accept, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            async with SignallingClient([f"ws://127.0.0.1:{port}"], ALICE, random_share=lambda: 0.0) as alice:
                await alice.publish("web")
                welcomes: list[m.Welcome] = []
                alice.on_welcome = welcomes.append
                wire.is_dead = True
                began_at = time.monotonic()
                alice.reconnect()
                await until(lambda: welcomes)
                assert time.monotonic() - began_at < 0.8
                assert (await alice.resolve(ALICE.peer_id, "web")).published
        await until(lambda: all(writer.transport.is_closing() for writer in wire.writers))


async def test_relay_credentials_are_renewed_before_they_end() -> None:
    config = replace(BASE, relay_urls=("turn:192.0.2.1",), relay_secret="s", relay_credential_lifetime_s=2)
    async with RendezvousService(config) as service, SignallingClient([url_of(service)], ALICE) as alice:
        first = await alice.welcome()
        renewed: list[m.Welcome] = []
        alice.on_welcome = renewed.append
        await until(lambda: renewed)
        assert renewed[0].turn[0].expires_wall > first.turn[0].expires_wall
        assert (await alice.welcome()) is renewed[0]


async def test_forged_and_repeated_bodies_never_reach_the_application() -> None:
    async with RendezvousService(BASE) as service, SignallingClient([url_of(service)], BOB) as bob:
        heard: list[bytes] = []
        bob.on_signal = lambda _, __, body: heard.append(body)
        await bob.welcome()
        now = time.time()
        good = ALICE.seal(BOB.peer_id, b"good", now_wall=now)
        async with raw(service) as alice:
            await alice.log_in(ALICE)
            for body in (good, good, b"junk", ALICE.seal(EVE.peer_id, b"x", now_wall=now)):
                await alice.send(m.SignalRequest(to=str(BOB.peer_id), body=body))
            await alice.send(m.SignalRequest(to=str(BOB.peer_id), body=ALICE.seal(BOB.peer_id, b"old", now_wall=1)))
            await until(lambda: bob.dropped_signals == 4)
        async with raw(service) as eve:
            await eve.log_in(EVE)
            await eve.send(m.SignalRequest(to=str(BOB.peer_id), body=ALICE.seal(BOB.peer_id, b"x", now_wall=now)))
            await until(lambda: bob.dropped_signals == 5)
        assert heard == [b"good"]


async def test_the_observed_address_comes_from_trusted_proxies_only() -> None:
    trusting = replace(BASE, trusted_proxies=(ipaddress.ip_network("127.0.0.0/8"),))
    for config, expected in ((BASE, "127.0.0.1"), (trusting, "203.0.113.9")):
        async with RendezvousService(config) as service, raw(service, X_Forwarded_For="6.6.6.6, 203.0.113.9") as client:
            await client.log_in(ALICE)
            assert (await client.receive())["observed_address"][0] == expected


async def test_metrics_are_for_this_machine_and_those_allowed() -> None:
    config = replace(BASE, trusted_proxies=(ipaddress.ip_network("127.0.0.0/8"),))
    async with RendezvousService(config) as service, aiohttp.ClientSession() as session:
        url = f"http://{service.listen_addresses[0]}/metrics"
        async with SignallingClient([url_of(service)], ALICE) as alice:
            await alice.welcome()
            async with session.get(url) as response:
                text = await response.text()
        assert "p2p_rendezvous_online_peers 1.0" in text
        assert 'p2p_rendezvous_logins_total{result="accepted"} 1.0' in text
        assert str(ALICE.peer_id) not in text
        async with session.get(url, headers={"X-Forwarded-For": "203.0.113.9"}) as response:
            assert response.status == 403
