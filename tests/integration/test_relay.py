"""The relay on loopback: real sockets, our own client."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import struct

import pytest
import uvloop
from prometheus_client import CollectorRegistry, generate_latest

from p2p.address import TransportAddress
from p2p.aio.tasks import TaskScope
from p2p.errors import ConfigError, ConnectivityError, LocalProtocolError
from p2p.proto.stun.attributes import XOR_MAPPED_ADDRESS
from p2p.proto.stun.message import Message, MessageClass, Method, decode_untrusted, encode
from p2p.proto.turn.events import PermissionFailed
from relay.core.counters import Drop
from relay.core.credentials import rest_password
from relay.core.quotas import QuotaLimits
from relay.service import RelayService
from tests.support.relay import SECRET, loopback_config, write_certificate
from tests.support.turn_client import EchoPeer, TurnClient

KINDS = ("udp", "tcp", "tls")


def address_of(service: RelayService, kind: str) -> TransportAddress:
    return getattr(service, f"{kind}_addresses")[0]


def client_of(service: RelayService, kind: str = "udp", **options) -> TurnClient:
    return TurnClient(address_of(service, kind), kind=kind, **options)


async def eventually(condition, what: str) -> None:
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.01)
    pytest.fail(f"never happened: {what}")


@pytest.mark.parametrize("kind", KINDS)
async def test_data_passes_both_ways_on_every_leg(kind):
    async with RelayService(loopback_config()) as service, EchoPeer() as peer, client_of(service, kind) as client:
        relayed = await client.allocate()
        await client.permit(peer.address)
        client.send(peer.address, b"as an indication")
        assert await client.receive() == (peer.address, b"as an indication")
        await client.bind(peer.address)
        for size in (1, 2, 3, 4, 1200, 8000):
            data = os.urandom(size)
            client.send(peer.address, data)
            assert await client.receive() == (peer.address, data)
        assert {source for source, _ in peer.heard} == {relayed}
        assert service.allocations == 1
        await client.release()
        assert service.allocations == 0


@pytest.mark.parametrize("kind", KINDS)
async def test_a_burst_of_unequal_sizes_arrives_in_order(kind):
    async with RelayService(loopback_config()) as service, EchoPeer() as peer, client_of(service, kind) as client:
        await client.allocate()
        await client.bind(peer.address)
        sizes = [1200] * 20 + [100, 100, 50, 1200, 1, 2, 3] + [700] * 20
        payloads = [struct.pack("!H", index) + bytes(size) for index, size in enumerate(sizes)]
        for payload in payloads:
            client.send(peer.address, payload)
        assert [(await client.receive())[1] for _ in payloads] == payloads
        assert [data for _, data in peer.heard] == payloads


async def test_two_clients_of_one_relay_talk_inside_the_process():
    async with (
        RelayService(loopback_config()) as service,
        client_of(service, "udp") as one,
        client_of(service, "tls", username="bob", password="builder") as two,
    ):
        here, there = await one.allocate(), await two.allocate()
        await one.bind(there)
        await two.bind(here)
        for number in range(50):
            one.send(there, b"ping %d" % number)
            assert await two.receive() == (here, b"ping %d" % number)
            two.send(here, b"pong %d" % number)
            assert await one.receive() == (there, b"pong %d" % number)


async def test_time_limited_credentials():
    name = "9999999999:peer"
    async with RelayService(loopback_config()) as service:
        async with client_of(service, username=name, password=rest_password(SECRET, name)) as client:
            await client.allocate()
        expired = "1000000000:peer"
        async with client_of(service, username=expired, password=rest_password(SECRET, expired)) as client:
            assert await client.refusal() == 401


async def test_a_challenge_in_advance_saves_a_round_trip():
    async with RelayService(loopback_config()) as service:
        realm, nonce = service.challenge()
        async with client_of(service, realm=realm, nonce=nonce) as client:
            await client.allocate()
            assert client.sent_messages == 1


async def test_loopback_and_private_peers_are_denied_by_default():
    config = loopback_config(danger_allow_loopback_peers=False)
    async with RelayService(config) as service, EchoPeer() as peer, client_of(service) as client:
        await client.allocate()
        for host in ("10.0.0.1", "169.254.169.254", "127.0.0.2"):
            assert isinstance(await client.permit(TransportAddress(host, 1)), PermissionFailed)
        # The relay's own host may be named, since other allocations are there; nothing else on it is reached.
        await client.permit(peer.address)
        client.send(peer.address, b"x")
        await eventually(lambda: service.counters.drops[Drop.FORBIDDEN_PEER] == 1, "the drop")
        assert not peer.heard


async def test_quotas_hold_and_end_with_their_allocations():
    async with RelayService(loopback_config(quotas=QuotaLimits(per_user=1))) as service:
        async with client_of(service, "tcp") as first:
            await first.allocate()
            async with client_of(service, "tcp") as second:
                assert await second.refusal() == 486
        await eventually(lambda: service.allocations == 0, "the end of the allocation")
        async with client_of(service, "tcp") as third:
            await third.allocate()


async def test_ipv6():
    addresses = (TransportAddress("::1", 0),)
    config = loopback_config(udp=addresses, tcp=addresses, tls=())
    async with RelayService(config) as service, EchoPeer("::1") as peer:
        for kind in ("udp", "tcp"):
            async with client_of(service, kind) as client:
                client.machine._address_family = 2
                await client.allocate()
                await client.bind(peer.address)
                client.send(peer.address, b"six")
                assert await client.receive() == (peer.address, b"six")


# --- what others in the process use -------------------------------------------------------------------------


class _Switchboard(asyncio.Protocol):
    """Somebody else's port: hands every connection to the relay after its first bytes, as a port share does."""

    def __init__(self, service: RelayService) -> None:
        self._service = service

    def connection_made(self, transport):
        self._transport = transport

    def data_received(self, data):
        protocol = self._service.stream_protocol()
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        protocol.data_received(data)


async def test_a_connection_that_someone_else_accepted():
    async with RelayService(loopback_config()) as service, EchoPeer() as peer:
        server = await asyncio.get_running_loop().create_server(lambda: _Switchboard(service), "127.0.0.1", 0)
        async with server, TurnClient(TransportAddress(*server.sockets[0].getsockname()), kind="tcp") as client:
            await client.allocate()
            await client.bind(peer.address)
            client.send(peer.address, b"shared port")
            assert await client.receive() == (peer.address, b"shared port")


class _RecordingBinding:
    """A binding service that answers from the other port, as RFC 5780 wants."""

    service: RelayService

    def __init__(self) -> None:
        self.calls: list[tuple[TransportAddress, TransportAddress]] = []

    def handle(self, data, source, local):
        self.calls.append((source, local))
        if len(self.calls) > 1:
            return False
        other = next(address for address in self.service.udp_addresses if address != local)
        self.service.send_from(other, b"an answer", source)
        return True


async def test_binding_requests_go_to_the_binding_service_if_there_is_one():
    binding = _RecordingBinding()
    config = loopback_config(udp=(TransportAddress("127.0.0.1", 0),) * 2)
    request = encode(Message(MessageClass.REQUEST, Method.BINDING, bytes(12)))
    async with RelayService(config, binding_service=binding) as service, EchoPeer() as peer:
        binding.service = service
        first, second = service.udp_addresses
        peer.transport.sendto(request, tuple(first))
        await eventually(lambda: peer.heard, "an answer from the other port")
        assert peer.heard[0] == (second, b"an answer")
        assert binding.calls[0] == (peer.address, first)
        peer.heard.clear()
        peer.transport.sendto(request, tuple(second))
        await eventually(lambda: any(source == second for source, _ in peer.heard), "the plain answer")
        with pytest.raises(LocalProtocolError):
            service.send_from(TransportAddress("127.0.0.1", 1), b"", first)


@pytest.mark.parametrize("kind", KINDS)
async def test_binding_requests_are_answered_plainly_otherwise(kind):
    async with RelayService(loopback_config()) as service, client_of(service, kind) as client:
        answers = []
        client._take = answers.append
        client.write(encode(Message(MessageClass.REQUEST, Method.BINDING, bytes(12))))
        await eventually(lambda: answers, "an answer")
        own = TransportAddress.from_socket(client.transport.get_extra_info("sockname"))
        assert decode_untrusted(answers[0]).get(XOR_MAPPED_ADDRESS) == own


async def test_metrics_count_and_go_with_the_service():
    registry = CollectorRegistry()
    service = RelayService(loopback_config(), registry=registry)
    async with service, EchoPeer() as peer, client_of(service, "tcp") as client:
        await client.allocate()
        await client.bind(peer.address)
        client.send(peer.address, b"12345")
        await client.receive()

        def value(name, **labels):
            return registry.get_sample_value(name, labels)

        assert value("relay_allocations", transport="tcp") == 1
        assert value("relay_connections") == 1
        assert value("relay_bytes_total", direction="to_peer") == 5
        assert value("relay_packets_total", direction="to_client") == 1
        assert value("relay_requests_total", method="allocate", result="success") == 1
        text = generate_latest(registry).decode()
        assert "alice" not in text
        assert SECRET not in text
    assert generate_latest(registry) == b""


# --- bad days -----------------------------------------------------------------------------------------------


async def test_garbage_to_every_port_leaves_it_serving():
    chance = random.Random(1)
    valid = encode(Message(MessageClass.REQUEST, Method.ALLOCATE, bytes(12)))
    async with RelayService(loopback_config()) as service, EchoPeer() as peer, client_of(service) as client:
        relayed = await client.allocate()
        await client.bind(peer.address)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            for number in range(2000):
                data = bytearray(valid if number % 2 else chance.randbytes(chance.randrange(1, 100)))
                if data:
                    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
                stranger.sendto(data, tuple(address_of(service, "udp")))
                stranger.sendto(data, tuple(relayed))
                if number % 50 == 0:
                    await asyncio.sleep(0)
        for number in range(60):
            for kind in ("tcp", "tls"):
                _, writer = await asyncio.open_connection(*address_of(service, kind))
                writer.write(chance.randbytes(1 + 20 * number))
                writer.close()
        for number in range(200):  # garbage of a known client as well
            client.write(bytes([0x40 + number % 0x40]) + chance.randbytes(number % 7))
            client.write(chance.randbytes(1 + number))
        client.send(peer.address, b"still there")
        while await client.receive() != (peer.address, b"still there"):
            pass  # the stranger shares the peer's host, and thereby its permission
        for kind in KINDS:
            async with client_of(service, kind, username="bob", password="builder") as other:
                await other.allocate()
        await eventually(lambda: len(service._limiter) == 0, "the end of all connections")


async def test_a_silent_tls_connection_is_closed(monkeypatch):
    monkeypatch.setattr("relay.shell.stream_listener.RELAY_TLS_HANDSHAKE_S", 0.1)
    async with RelayService(loopback_config()) as service:
        reader, writer = await asyncio.open_connection(*address_of(service, "tls"))
        await eventually(lambda: len(service._limiter) == 1, "the connection is counted")
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await asyncio.wait_for(reader.readexactly(1), 5)
        assert len(service._limiter) == 0
        writer.close()


async def test_a_client_that_does_not_read_costs_bounded_memory():
    async with RelayService(loopback_config()) as service, EchoPeer() as peer, client_of(service, "tcp") as client:
        relayed = await client.allocate()
        await client.bind(peer.address)
        client.transport.pause_reading()
        stream = next(iter(service._limiter._connections))
        for _ in range(300):
            for _ in range(100):
                peer.transport.sendto(bytes(1200), tuple(relayed))
            await asyncio.sleep(0)
            if service.counters.drops[Drop.CLIENT_BUFFER_FULL]:
                break
        assert service.counters.drops[Drop.CLIENT_BUFFER_FULL]
        assert stream._transport.get_write_buffer_size() <= 256 * 1024
        client.transport.resume_reading()
        await client.receive()


async def test_draining_refuses_the_new_and_waits_for_the_old():
    async with RelayService(loopback_config()) as service, client_of(service) as client, TaskScope() as scope:
        await client.allocate()
        draining = scope.start(service.drain(30.0), name="drain")
        await asyncio.sleep(0)
        async with client_of(service) as late:
            assert await late.refusal() == 508
        assert not draining.done()
        await client.release()
        await asyncio.wait_for(draining, 5)
        await service.drain(30.0)


async def test_draining_ends_at_its_deadline():
    async with RelayService(loopback_config()) as service, client_of(service) as client:
        await client.allocate()
        await asyncio.wait_for(service.drain(0.05), 5)
        assert service.allocations == 1


async def test_a_restart_takes_the_same_ports_at_once():
    async with RelayService(loopback_config()) as service:
        ports = {kind: getattr(service, f"{kind}_addresses") for kind in KINDS}
        clients = [client_of(service, kind) for kind in KINDS]
        for client in clients:
            await client.__aenter__()
            await client.allocate()
    for _ in range(3):
        async with RelayService(loopback_config(**ports)) as service, client_of(service, "tcp") as client:
            await client.allocate()
    clients[0].transport.close()
    for client in clients:
        await asyncio.wait_for(client.lost.wait(), 5)


async def test_an_address_in_use_is_an_error_that_names_it_and_leaves_nothing_open():
    async with RelayService(loopback_config()) as service:
        for kind in KINDS:
            taken = address_of(service, kind)
            with pytest.raises(ConnectivityError, match=str(taken.port)):
                async with RelayService(loopback_config(**{kind: (taken,)})):
                    pass
    with pytest.raises(ConnectivityError, match=r"192\.0\.2\.1"):
        async with RelayService(loopback_config(relay_addresses=("192.0.2.1",))):
            pass


async def test_an_error_in_the_block_leaves_it_as_it_is():
    with pytest.raises(ZeroDivisionError):
        async with RelayService(loopback_config()):
            _ = 1 / 0


async def test_certificates_are_read_again_and_a_broken_one_changes_nothing(tmp_path):
    certificate, key = write_certificate(tmp_path, "before")
    config = loopback_config(tls_certificate=certificate, tls_key=key)

    async def served_certificate(service) -> bytes:
        async with client_of(service, "tls") as client:
            return client.transport.get_extra_info("ssl_object").getpeercert(binary_form=True)

    async with RelayService(config) as service:
        before = await served_certificate(service)
        write_certificate(tmp_path, "after")
        service.reload(config)
        after = await served_certificate(service)
        assert b"after" in after
        assert after != before
        certificate.write_text("no certificate")
        with pytest.raises(ConfigError):
            service.reload(config)
        assert await served_certificate(service) == after


def test_uvloop():
    async def main() -> None:
        async with RelayService(loopback_config()) as service, EchoPeer() as peer:
            for kind in KINDS:
                async with client_of(service, kind) as client:
                    await client.allocate()
                    await client.bind(peer.address)
                    client.send(peer.address, kind.encode())
                    assert await client.receive() == (peer.address, kind.encode())

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
