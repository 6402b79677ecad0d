"""The end of a stream is told twice, since a QUIC library may lose it."""

from __future__ import annotations

import asyncio
import os
import socket

import pytest

from p2p.proto.tunnel.header import StreamHeader, encode_header
from tests.support.fake_quic import FakeTransport
from tests.support.forward_session import Session, read_all, turns, until


@pytest.fixture
def ends_are_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the library forget every end of a data stream."""
    send = FakeTransport.send

    def lossy(self: FakeTransport, stream_id: int, data: bytes | memoryview, end: bool = False) -> None:
        if data or not end:
            send(self, stream_id, data)

    monkeypatch.setattr(FakeTransport, "send", lossy)


async def push(sock: socket.socket, data: bytes) -> None:
    await asyncio.get_running_loop().sock_sendall(sock, data)
    sock.shutdown(socket.SHUT_WR)


@pytest.mark.usefixtures("ends_are_lost")
@pytest.mark.parametrize("size", [0, 1, 300_000])
async def test_a_lost_end_is_heard_all_the_same(size: int) -> None:
    data = os.urandom(size)
    async with Session() as session:
        client, service = await session.open_both()
        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            group.create_task(push(client, data))
            at_service = group.create_task(read_all(service))
        assert at_service.result() == data
        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            group.create_task(push(service, data))
            at_client = group.create_task(read_all(client))
        assert at_client.result() == data
        await until(lambda: session.dialer.snapshot().flows_open == session.exposer.snapshot().flows_open == 0)
        assert session.dialer.snapshot().flows_reset == session.exposer.snapshot().flows_reset == 0


@pytest.mark.usefixtures("ends_are_lost")
async def test_an_end_before_the_verdict_is_told_after_it() -> None:
    session = Session()
    session.waits_for_verdict = False
    session.exposer_observer.verdict = None
    async with session:
        client = session.open()
        await push(client, b"early")
        await until(lambda: bool(session.exposer_observer.requests))
        await turns(10)
        session.exposer.accept()
        await until(lambda: bool(session.acceptor.sockets))
        async with asyncio.timeout(5):
            assert await read_all(session.acceptor.sockets[0]) == b"early"


async def test_an_end_may_overtake_all_of_its_stream() -> None:
    async with Session() as session:
        header = encode_header(StreamHeader("", None, None))
        table = session.exposer._table
        table.end_announced(4, len(header) + 3)
        assert not session.acceptor.sockets
        session.exposer_transport.deliver(4, header + b"abc")
        await until(lambda: bool(session.acceptor.sockets))
        async with asyncio.timeout(5):
            assert await read_all(session.acceptor.sockets[0]) == b"abc"
        assert not table._ends


async def test_ends_of_streams_that_never_come_cost_bounded_memory() -> None:
    async with Session() as session:
        table = session.exposer._table
        for number in range(4, 4 * 3 * table._max_flows, 4):
            table.end_announced(number, 1)
        for number in (0, 1, 2, 3, 5):
            table.end_announced(number, 1)
        assert len(table._ends) == table._max_flows


async def test_an_end_of_a_stream_that_is_over_is_old_news() -> None:
    async with Session() as session:
        client, service = await session.open_both()
        client.close()
        service.close()
        await until(lambda: session.exposer.snapshot().flows_open == 0)
        session.exposer._table.end_announced(4, 1)
        assert not session.exposer._table._ends
