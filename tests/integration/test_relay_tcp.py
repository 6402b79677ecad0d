"""TCP through the relay with real sockets: RFC 6062."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import ssl

import pytest

from p2p.address import TransportAddress
from p2p.proto.stun.attributes import (
    CONNECTION_ID,
    ERROR_CODE,
    MD5_ALGORITHM,
    NONCE,
    REALM,
    REQUESTED_TRANSPORT,
    USERNAME,
    XOR_PEER_ADDRESS,
    XOR_RELAYED_ADDRESS,
)
from p2p.proto.stun.integrity import long_term_key
from p2p.proto.stun.message import AttributeValue, Message, MessageClass, Method, decode_untrusted, encode
from relay.core.rates import RateLimit, RateLimits
from relay.service import RelayService
from tests.support.relay import USERS, loopback_config

SIZE = 3_000_000


class Connection:
    """One TCP or TLS connection of a client that speaks STUN by hand."""

    def __init__(self, server: TransportAddress, *, tls: bool = False) -> None:
        self._server = server
        self._context: ssl.SSLContext | None = None
        if tls:
            self._context = ssl.create_default_context()
            self._context.check_hostname = False
            self._context.verify_mode = ssl.CERT_NONE
        self._nonce = ""

    async def __aenter__(self) -> Connection:
        self.reader, self.writer = await asyncio.open_connection(*self._server, ssl=self._context)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()

    async def message(self) -> Message:
        async with asyncio.timeout(10):
            head = await self.reader.readexactly(20)
            return decode_untrusted(head + await self.reader.readexactly(int.from_bytes(head[2:4], "big")))

    async def ask(self, method: Method, *attributes: AttributeValue, also: bytes = b"") -> Message:
        """Send a request, with bytes right behind it, and return its answer."""
        if not self._nonce:
            self.writer.write(encode(Message(MessageClass.REQUEST, method, os.urandom(12), attributes)))
            self._nonce = (await self.message()).get(NONCE)
        own = (USERNAME("alice"), REALM("p2p"), NONCE(self._nonce))
        key = long_term_key("alice", "p2p", USERS["alice"], MD5_ALGORITHM)
        request = Message(MessageClass.REQUEST, method, os.urandom(12), (*attributes, *own))
        self.writer.write(encode(request, integrity_key=key) + also)
        return await self.message()

    async def allocate(self) -> TransportAddress:
        answer = await self.ask(Method.ALLOCATE, REQUESTED_TRANSPORT(6))
        assert answer.message_class is MessageClass.SUCCESS, answer
        return answer.get(XOR_RELAYED_ADDRESS)

    async def connect(self, peer: TransportAddress) -> Message:
        return await self.ask(Method.CONNECT, XOR_PEER_ADDRESS(peer))


@contextlib.asynccontextmanager
async def peer_server(handle):
    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield TransportAddress(*server.sockets[0].getsockname())


async def echo(reader, writer):
    """Send back what comes, until its end."""
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        writer.close()
        await writer.wait_closed()


def servers(service: RelayService, tls: bool) -> TransportAddress:
    return (service.tls_addresses if tls else service.tcp_addresses)[0]


@pytest.mark.parametrize("tls", [False, True])
async def test_megabytes_pass_both_ways_through_a_connection_to_a_peer(tls):
    async with RelayService(loopback_config()) as service, peer_server(echo) as peer, asyncio.timeout(30):
        server = servers(service, tls)
        async with Connection(server, tls=tls) as control, Connection(server, tls=tls) as data:
            await control.allocate()
            number = (await control.connect(peer)).get(CONNECTION_ID)
            start = b"right behind the request"
            answer = await data.ask(Method.CONNECTION_BIND, CONNECTION_ID(number), also=start)
            assert answer.message_class is MessageClass.SUCCESS
            sent = os.urandom(SIZE)

            async def send() -> None:
                data.writer.write(sent)
                await data.writer.drain()

            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(send())
                received = await data.reader.readexactly(len(start) + SIZE)
            assert received[: len(start)] == start
            assert hashlib.sha256(received[len(start) :]).digest() == hashlib.sha256(sent).digest()
            assert service.counters.bytes_to_peers == service.counters.bytes_to_clients == len(start) + SIZE
            if not tls:
                data.writer.write_eof()
                assert await data.reader.read() == b""
        await gone(service)


async def gone(service: RelayService) -> None:
    for _ in range(500):
        if not len(service._limiter) and not len(service._running().server.tcp.connections):
            return
        await asyncio.sleep(0.01)
    pytest.fail("a connection is left")


async def test_a_peer_that_connects_finds_the_client():
    async with RelayService(loopback_config()) as service, asyncio.timeout(20):
        server = servers(service, False)
        async with Connection(server) as control, Connection(server) as data:
            relayed = await control.allocate()
            reader, writer = await asyncio.open_connection(*relayed)
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""  # nobody has allowed it
            writer.close()
            await control.ask(Method.CREATE_PERMISSION, XOR_PEER_ADDRESS(TransportAddress("127.0.0.1", 0)))
            reader, writer = await asyncio.open_connection(*relayed)
            writer.write(b"hello before anybody listens")
            attempt = await control.message()
            assert attempt.method == Method.CONNECTION_ATTEMPT
            assert attempt.get(XOR_PEER_ADDRESS) == TransportAddress(*writer.get_extra_info("sockname"))
            await data.ask(Method.CONNECTION_BIND, CONNECTION_ID(attempt.get(CONNECTION_ID)))
            assert await data.reader.readexactly(28) == b"hello before anybody listens"
            data.writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
            writer.close()
            assert await data.reader.read() == b""


async def test_what_a_peer_sent_last_arrives_although_it_has_closed():
    async def short(reader, writer):
        writer.write(bytes(300_000))
        await writer.drain()
        writer.close()

    async with RelayService(loopback_config()) as service, peer_server(short) as peer, asyncio.timeout(20):
        server = servers(service, False)
        async with Connection(server) as control, Connection(server) as data:
            await control.allocate()
            number = (await control.connect(peer)).get(CONNECTION_ID)
            await asyncio.sleep(0.05)
            await data.ask(Method.CONNECTION_BIND, CONNECTION_ID(number))
            assert len(await data.reader.read(-1)) == 300_000


async def test_two_clients_of_one_relay():
    async with RelayService(loopback_config()) as service, asyncio.timeout(20):
        server = servers(service, False)
        async with (
            Connection(server) as one,
            Connection(server) as two,
            Connection(server) as from_one,
            Connection(server) as from_two,
        ):
            here, there = await one.allocate(), await two.allocate()
            await two.ask(Method.CREATE_PERMISSION, XOR_PEER_ADDRESS(here))
            number = (await one.connect(there)).get(CONNECTION_ID)
            attempt = await two.message()
            assert attempt.get(XOR_PEER_ADDRESS) == here  # connections leave from the relayed address
            await from_one.ask(Method.CONNECTION_BIND, CONNECTION_ID(number))
            await from_two.ask(Method.CONNECTION_BIND, CONNECTION_ID(attempt.get(CONNECTION_ID)))
            from_one.writer.write(b"ping")
            assert await from_two.reader.readexactly(4) == b"ping"
            from_two.writer.write(b"pong")
            assert await from_one.reader.readexactly(4) == b"pong"


async def test_nobody_listens_there():
    async with RelayService(loopback_config()) as service, peer_server(echo) as peer:
        pass
    async with RelayService(loopback_config()) as service, Connection(servers(service, False)) as control:
        await control.allocate()
        assert (await control.connect(peer)).get(ERROR_CODE).code == 447


async def test_everything_ends_with_the_control_connection():
    async with RelayService(loopback_config()) as service, peer_server(echo) as peer, asyncio.timeout(20):
        server = servers(service, False)
        async with Connection(server) as data:
            async with Connection(server) as control:
                await control.allocate()
                number = (await control.connect(peer)).get(CONNECTION_ID)
                await data.ask(Method.CONNECTION_BIND, CONNECTION_ID(number))
                data.writer.write(b"x")
                assert await data.reader.readexactly(1) == b"x"
            with contextlib.suppress(ConnectionError):
                assert await data.reader.read() == b""
        await gone(service)
        assert service.allocations == 0


async def test_a_client_that_does_not_read_costs_bounded_memory():
    async def flood(reader, writer):
        with contextlib.suppress(OSError):
            while True:
                writer.write(bytes(1 << 16))
                await writer.drain()

    async with RelayService(loopback_config()) as service, peer_server(flood) as peer, asyncio.timeout(20):
        server = servers(service, False)
        async with Connection(server) as control, Connection(server) as data:
            data.writer.transport.pause_reading()
            await control.allocate()
            number = (await control.connect(peer)).get(CONNECTION_ID)
            data.writer.transport.resume_reading()
            await data.ask(Method.CONNECTION_BIND, CONNECTION_ID(number))
            data.writer.transport.pause_reading()
            before = -1
            while service.counters.bytes_to_clients != before:
                before = service.counters.bytes_to_clients
                await asyncio.sleep(0.2)
            stream = next(iter(service._running().server.tcp.connections._by_number.values())).stream
            assert stream._pipe.client._transport.get_write_buffer_size() < 1 << 20


async def test_rates_slow_it_down_and_lose_nothing():
    rates = RateLimits(user=RateLimit(bytes_per_s=2_000_000))
    async with RelayService(loopback_config(rates=rates)) as service, peer_server(echo) as peer, asyncio.timeout(30):
        server = servers(service, False)
        async with Connection(server) as control, Connection(server) as data:
            await control.allocate()
            number = (await control.connect(peer)).get(CONNECTION_ID)
            await data.ask(Method.CONNECTION_BIND, CONNECTION_ID(number))
            loop = asyncio.get_running_loop()
            began = loop.time()
            data.writer.write(bytes(1_500_000))
            assert len(await data.reader.readexactly(1_500_000)) == 1_500_000
            # 3 MB both ways at 2 MB/s, less what a quiet user has saved up and one read of each direction.
            assert loop.time() - began > 0.7
