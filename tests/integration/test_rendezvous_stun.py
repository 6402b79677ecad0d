"""The STUN service over real sockets: alone, on the signalling port, and beside a relay."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from p2p.address import TransportAddress
from p2p.errors import ConfigError
from p2p.proto.stun.attributes import (
    CHANGE_REQUEST,
    ERROR_CODE,
    OTHER_ADDRESS,
    RESPONSE_ORIGIN,
    XOR_MAPPED_ADDRESS,
    ChangeRequest,
)
from p2p.proto.stun.message import Message, MessageClass, Method, decode_untrusted, encode
from rendezvous.metrics import Metrics
from rendezvous.service import RendezvousService, StunConfig
from rendezvous.stun import StunService
from tests.support.ports import free_port, free_ports
from tests.support.rendezvous_world import ALICE, BASE, raw

TRANSACTION_ID = bytes(range(12))


def request(*attributes: object) -> bytes:
    return encode(Message(MessageClass.REQUEST, Method.BINDING, TRANSACTION_ID, attributes))  # type: ignore[arg-type]


class UdpClient(asyncio.DatagramProtocol):
    """A UDP socket with a queue."""

    def __init__(self) -> None:
        self.received: asyncio.Queue[tuple[bytes, TransportAddress]] = asyncio.Queue()

    async def ask(self, data: bytes, destination: TransportAddress) -> tuple[Message, TransportAddress]:
        self.transport.sendto(data, destination)
        answer, source = await asyncio.wait_for(self.received.get(), 5)
        return decode_untrusted(answer), source

    @property
    def address(self) -> TransportAddress:
        return TransportAddress.from_socket(self.transport.get_extra_info("sockname"))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, source: tuple[Any, ...]) -> None:
        self.received.put_nowait((data, TransportAddress.from_socket(source)))


@contextlib.asynccontextmanager
async def udp_client(host: str = "127.0.0.1") -> AsyncIterator[UdpClient]:
    client = UdpClient()
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: client,
        local_addr=(host, 0),
    )
    try:
        yield client
    finally:
        transport.close()


def service(config: StunConfig) -> StunService:
    return StunService(config, Metrics(CollectorRegistry()))


async def test_one_address_answers_over_udp_from_both_ports() -> None:
    main, alternate = free_ports(2)
    config = StunConfig(addresses=("127.0.0.1",), port=main, alternate_port=alternate)
    async with service(config) as stun, udp_client() as client:
        assert stun.public_addresses == (TransportAddress("127.0.0.1", main),)
        server = stun.public_addresses[0]
        answer, source = await client.ask(request(), server)
        assert answer.get(XOR_MAPPED_ADDRESS) == client.address
        assert answer.transaction_id == TRANSACTION_ID
        assert source == server
        answer, source = await client.ask(request(CHANGE_REQUEST(ChangeRequest(False, True))), server)
        assert answer.message_class is MessageClass.SUCCESS
        assert source == TransportAddress("127.0.0.1", alternate)
        answer, _ = await client.ask(request(CHANGE_REQUEST(ChangeRequest(True, True))), server)
        error = answer.get(ERROR_CODE)
        assert error is not None
        assert error.code == 420


async def test_two_addresses_give_all_of_rfc_5780() -> None:
    main, alternate = free_ports(2)
    config = StunConfig(addresses=("127.0.0.1", "127.0.0.2"), port=main, alternate_port=alternate)
    async with service(config) as stun, udp_client() as client:
        server = stun.public_addresses[0]
        answer, _ = await client.ask(request(), server)
        assert answer.get(OTHER_ADDRESS) == TransportAddress("127.0.0.2", alternate)
        for change, expected in (
            (ChangeRequest(True, True), ("127.0.0.2", alternate)),
            (ChangeRequest(False, True), ("127.0.0.1", alternate)),
            (ChangeRequest(True, False), ("127.0.0.2", main)),
        ):
            answer, source = await client.ask(request(CHANGE_REQUEST(change)), server)
            assert source == expected
            assert answer.get(RESPONSE_ORIGIN) == expected


async def test_what_clients_are_told_is_the_public_address() -> None:
    main, alternate = free_ports(2)
    config = StunConfig(
        addresses=("127.0.0.1", "127.0.0.2"),
        public_addresses=("203.0.113.1", "203.0.113.2"),
        port=main,
        alternate_port=alternate,
    )
    async with service(config) as stun, udp_client() as client:
        assert stun.public_addresses == (("203.0.113.1", main), ("203.0.113.2", main))
        answer, _ = await client.ask(request(), TransportAddress("127.0.0.1", main))
        assert answer.get(OTHER_ADDRESS) == ("203.0.113.2", alternate)


async def test_tcp_answers_in_any_chunking_and_ends_with_garbage() -> None:
    main = free_port()
    async with service(StunConfig(addresses=("127.0.0.1",), port=main, alternate_port=None)):
        reader, writer = await asyncio.open_connection("127.0.0.1", main)
        local = TransportAddress.from_socket(writer.get_extra_info("sockname"))
        for chunk in (request() + request()[:3], request()[3:]):
            writer.write(chunk)
        for _ in range(2):
            header = await asyncio.wait_for(reader.readexactly(20), 5)
            body = await reader.readexactly(int.from_bytes(header[2:4], "big"))
            assert decode_untrusted(header + body).get(XOR_MAPPED_ADDRESS) == local
        writer.write(b"\xff" * 20)
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()


async def test_garbage_over_udp_gets_no_answer_and_does_no_harm() -> None:
    main = free_port()
    config = StunConfig(addresses=("127.0.0.1",), port=main, alternate_port=None, tcp=False)
    async with service(config) as stun, udp_client() as client:
        server = stun.public_addresses[0]
        for garbage in (b"", b"\x00", b"\xff" * 1200, request()[:-1], bytes(20)):
            client.transport.sendto(garbage, server)
        answer, _ = await client.ask(request(), server)
        assert answer.get(XOR_MAPPED_ADDRESS) == client.address


async def test_a_relay_shares_its_sockets() -> None:
    main, alternate = free_ports(2)
    shared = TransportAddress("127.0.0.1", main)
    sent: list[tuple[TransportAddress, bytes, TransportAddress]] = []
    stun = service(StunConfig(addresses=("127.0.0.1",), port=main, alternate_port=alternate))
    stun.share(
        [shared], lambda local, data, destination: sent.append((local, data, destination)), tcp_addresses=[shared]
    )
    relay_socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    relay_listener = socket.create_server(shared)
    try:
        relay_socket.bind(shared)
        async with stun, udp_client() as client:
            assert stun.handle(request(), client.address, shared)
            assert [(local, destination) for local, _, destination in sent] == [(shared, client.address)]
            assert not stun.handle(b"\x00\x03" + request()[2:], client.address, shared)
            # A change of port is answered by the socket that is ours ...
            assert stun.handle(request(CHANGE_REQUEST(ChangeRequest(False, True))), client.address, shared)
            _, source = await asyncio.wait_for(client.received.get(), 5)
            assert source == ("127.0.0.1", alternate)
            # ... and the other way round by the relay's.
            client.transport.sendto(
                request(CHANGE_REQUEST(ChangeRequest(False, True))), TransportAddress("127.0.0.1", alternate)
            )
            async with asyncio.timeout(5):
                while len(sent) < 2:
                    await asyncio.sleep(0.005)
            assert sent[1][0] == shared
    finally:
        relay_socket.close()
        relay_listener.close()


async def test_a_wildcard_socket_of_the_relay_stands_for_one_address_of_ours() -> None:
    main, alternate = free_ports(2)
    wildcard, client = TransportAddress("0.0.0.0", main), TransportAddress("192.0.2.1", 5)
    stun = service(StunConfig(addresses=("127.0.0.1",), port=main, alternate_port=alternate, tcp=False))
    sent: list[bytes] = []
    stun.share([wildcard], lambda _, data, __: sent.append(data))
    async with stun:
        assert stun.handle(request(), client, wildcard)
        answer = decode_untrusted(sent[0])
        assert answer.get(RESPONSE_ORIGIN) == ("127.0.0.1", main)
        # The wildcard is no second address.
        assert answer.get(OTHER_ADDRESS) is None
    two = service(StunConfig(addresses=("127.0.0.1", "127.0.0.2"), port=main, alternate_port=alternate, tcp=False))
    two.share([wildcard], lambda *_: None)
    with pytest.raises(ConfigError, match="several"):
        async with two:
            pass


async def test_wildcards_are_advertised_as_what_the_host_really_has() -> None:
    main = free_port()
    async with service(StunConfig(port=main, alternate_port=None, tcp=False)) as stun:
        assert stun.public_addresses
        assert all(not address.ip.is_unspecified for address in stun.public_addresses)


async def test_an_address_in_use_is_named() -> None:
    main = free_port()
    config = StunConfig(addresses=("127.0.0.1",), port=main, alternate_port=None, tcp=False)
    async with service(config):
        with pytest.raises(ConfigError, match=str(main)):
            async with service(config):
                pass


async def test_the_signalling_port_answers_stun_as_well_and_clients_are_told_the_servers() -> None:
    main = free_port()
    stun = StunConfig(addresses=("127.0.0.1",), port=main, alternate_port=None)
    async with RendezvousService(replace(BASE, stun=stun)) as rendezvous:
        reader, writer = await asyncio.open_connection(*rendezvous.listen_addresses[0])
        writer.write(request())
        header = await asyncio.wait_for(reader.readexactly(20), 5)
        assert decode_untrusted(header + await reader.readexactly(header[3])).message_class is MessageClass.SUCCESS
        writer.close()
        await writer.wait_closed()
        async with raw(rendezvous) as client:
            await client.log_in(ALICE)
            assert (await client.receive())["stun"] == [["127.0.0.1", main]]
    configured = replace(BASE, stun_servers=(TransportAddress("192.0.2.1", 3478),))
    async with RendezvousService(configured) as rendezvous, raw(rendezvous) as client:
        await client.log_in(ALICE)
        assert (await client.receive())["stun"] == [["192.0.2.1", 3478]]
