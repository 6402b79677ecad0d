"""Flows whose bytes are compressed: the same bytes and the same ends on both sides, fewer in between."""

from __future__ import annotations

import asyncio
import os
import socket
import zlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import pytest

from p2p.aio.tasks import TaskScope
from p2p.defaults import COMPRESSION_PIECE_BYTES
from p2p.forward import sockets
from p2p.forward.compression import Compression, CompressionAcceptor
from p2p.forward.listener import StreamListenerForward
from p2p.proto.tunnel.codes import StreamCode
from p2p.proto.tunnel.header import FlowKind, StreamHeader
from p2p.target import TcpTarget
from tests.support.forward_session import PairAcceptor, Session, connect, read_all, read_exactly, tcp_pair, until

TEXT = b"the same words again, and again: " * 20_000


@dataclass(frozen=True)
class World:
    """A session with a compressing listener in front and a decompressing acceptor behind."""

    session: Session
    listener: StreamListenerForward
    services: PairAcceptor

    async def open(self) -> tuple[socket.socket, socket.socket]:
        count = len(self.services.sockets)
        client = connect(self.listener)
        client.setblocking(False)
        self.session.local.append(client)
        await until(lambda: len(self.services.sockets) > count)
        return client, self.services.sockets[count]


@asynccontextmanager
async def world(at_most: int = 10) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        here = await stack.enter_async_context(Compression())
        there = await stack.enter_async_context(Compression(at_most=at_most))
        services = PairAcceptor()
        session = await stack.enter_async_context(Session(CompressionAcceptor(services, there)))
        place = TcpTarget("127.0.0.1", 0)
        listener = StreamListenerForward(place, loop=asyncio.get_running_loop(), compression=here)
        await stack.enter_async_context(listener)
        listener.attach(session.dialer)
        stack.callback(lambda: [sock.close() for sock in services.sockets])
        yield World(session, listener, services)


async def send(sock: socket.socket, data: bytes) -> None:
    await asyncio.get_running_loop().sock_sendall(sock, data)


async def test_both_directions_arrive_as_they_were_and_took_fewer_bytes() -> None:
    async with world() as w:
        client, service = await w.open()
        assert w.services.headers[0].kind == FlowKind.STREAM
        assert w.services.headers[0].origin is not None
        noise = os.urandom(300_000)
        async with asyncio.TaskGroup() as group:
            group.create_task(send(client, TEXT))
            arrived = group.create_task(read_exactly(service, len(TEXT)))
            group.create_task(send(service, noise))
            back = group.create_task(read_exactly(client, len(noise)))
        assert arrived.result() == TEXT
        assert back.result() == noise
        (flow,) = w.session.dialer.flow_snapshots()
        assert flow.bytes_out < len(TEXT) / 20
        assert flow.bytes_in < 1.01 * len(noise)


async def test_a_few_bytes_do_not_wait_for_more() -> None:
    async with world() as w:
        client, service = await w.open()
        for word in (b"ls\n", b"cd /\n"):
            await send(client, word)
            assert await read_exactly(service, len(word)) == word
            await send(service, word.upper())
            assert await read_exactly(client, len(word)) == word.upper()


async def test_directions_end_one_by_one() -> None:
    async with world() as w:
        client, service = await w.open()
        await send(client, b"question")
        client.shutdown(socket.SHUT_WR)
        assert await read_all(service) == b"question"
        await send(service, b"answer")
        service.close()
        assert await read_all(client) == b"answer"
        await until(lambda: w.session.dialer.snapshot().flows_open == 0)


async def test_a_reset_is_one_on_the_other_side() -> None:
    async with world() as w:
        client, service = await w.open()
        await send(client, b"begun")
        assert await read_exactly(service, 5) == b"begun"
        sockets.close(client, reset=True)
        with pytest.raises(ConnectionResetError):
            await read_all(service)


async def test_an_answer_before_the_end_of_the_question_is_heard() -> None:
    async with world() as w:
        client, service = await w.open()
        async with TaskScope() as scope:
            scope.start(send(client, os.urandom(40_000_000)), name="a long question")
            await read_exactly(service, 1000)
            await send(service, b"too much")
            service.close()
            assert await read_exactly(client, 8) == b"too much"


async def test_there_is_an_end_to_how_many_an_exposer_takes() -> None:
    async with world(at_most=1) as w:
        await w.open()
        second = connect(w.listener)
        second.setblocking(False)
        w.session.local.append(second)
        await until(lambda: bool(w.session.dialer_observer.errors or w.session.exposer_observer.heard))
        with pytest.raises(ConnectionResetError):
            await read_all(second)
        assert w.session.dialer.snapshot().flows_open == 1


@pytest.mark.parametrize(
    "data",
    [b"\xff\xff\xff", zlib.compress(b"x" * 100)[2:-4] + b"more", zlib.compress(os.urandom(1000))[2:500]],
    ids=["nonsense", "behind the end", "cut short"],
)
async def test_what_is_no_whole_stream_resets_the_connection(data: bytes) -> None:
    async with Compression() as compression:
        plain, service = tcp_pair()
        packed = compression.before(plain)
        await send(packed, data)
        packed.shutdown(socket.SHUT_WR)
        with pytest.raises(ConnectionResetError), service:
            await read_all(service)
        packed.close()


async def test_what_expands_a_thousandfold_waits_for_its_reader() -> None:
    async with Compression() as compression:
        plain, service = tcp_pair()
        packed = compression.before(plain)
        compressor = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
        bomb = compressor.compress(bytes(200 << 20)) + compressor.flush()
        assert len(bomb) < 4 * COMPRESSION_PIECE_BYTES
        await send(packed, bomb)
        packed.shutdown(socket.SHUT_WR)
        total = 0
        while data := await asyncio.get_running_loop().sock_recv(service, 1 << 20):
            assert not any(data)
            total += len(data)
        assert total == 200 << 20
        packed.close()
        service.close()


async def test_who_does_not_know_it_refuses() -> None:
    async with Session() as session:
        codes: list[object] = []
        from p2p.forward.target import ServiceDialer

        dialer = ServiceDialer({}, session.loop)
        dialer.dial(StreamHeader("", kind=FlowKind.COMPRESSED), codes.append)
        assert codes == [StreamCode.KIND_UNSUPPORTED]
