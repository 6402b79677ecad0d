"""Flows over a fake connection: exact bytes, ends, resets, and what a slow reader costs."""

from __future__ import annotations

import asyncio
import os
import socket
import struct

import pytest

from p2p import defaults
from p2p.address import TransportAddress
from p2p.proto.tunnel.codes import StreamCode, stream_error
from tests.support.forward_session import Session, read_all, read_exactly, turns, until
from tests.support.loops import on_every_loop

WINDOW = defaults.TUNNEL_WINDOW_BYTES


async def push(sock: socket.socket, data: bytes, *, end: bool = False) -> None:
    await asyncio.get_running_loop().sock_sendall(sock, data)
    if end:
        sock.shutdown(socket.SHUT_WR)


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@pytest.mark.parametrize("piece_bytes", [1, 7, 1350, 1 << 16])
async def test_bytes_arrive_exactly_in_both_directions(piece_bytes: int) -> None:
    data = os.urandom(200 * min(piece_bytes, 4096) + 13)
    async with Session(piece_bytes=piece_bytes) as session:
        client, service = await session.open_both()
        async with asyncio.TaskGroup() as group:
            group.create_task(push(client, data, end=True))
            group.create_task(push(service, data[::-1], end=True))
            at_service = group.create_task(read_all(service))
            at_client = group.create_task(read_all(client))
        assert at_service.result() == data
        assert at_client.result() == data[::-1]
        await until(lambda: session.dialer.snapshot().flows_open == session.exposer.snapshot().flows_open == 0)
        for side in (session.dialer, session.exposer):
            figures = side.snapshot()
            assert (figures.bytes_in, figures.bytes_out, figures.flows_reset) == (len(data), len(data), 0)


async def test_the_service_learns_the_end_and_can_still_answer() -> None:
    async with Session() as session:
        client, service = await session.open_both()
        await push(client, b"question", end=True)
        assert await read_all(service) == b"question"
        await push(service, b"answer", end=True)
        assert await read_all(client) == b"answer"


async def test_the_header_tells_service_and_addresses() -> None:
    async with Session() as session:
        client, _ = await session.open_both()
        (header,) = session.acceptor.headers
        assert header.service == ""
        assert header.origin == TransportAddress.from_socket(client.getsockname())
        assert header.local == TransportAddress.from_socket(client.getpeername())
        (flow,) = session.exposer.flow_snapshots()
        assert flow.origin == header.origin
        assert flow.connected


async def test_a_reset_reaches_the_other_side_as_a_reset() -> None:
    async with Session() as session:
        client, service = await session.open_both()
        await push(client, b"x")
        await read_exactly(service, 1)
        reset(client)
        with pytest.raises(ConnectionResetError):
            await read_all(service)
        await until(lambda: session.exposer.snapshot().flows_open == session.dialer.snapshot().flows_open == 0)
        assert session.dialer.snapshot().flows_reset == session.exposer.snapshot().flows_reset == 1


@on_every_loop
async def test_a_reset_right_behind_data_is_noticed() -> None:
    """uvloop reports the two together, and only once."""
    async with Session() as session:
        client, service = await session.open_both()
        service.send(b"last words")
        reset(service)
        with pytest.raises(ConnectionResetError):
            await read_all(client)
        await until(lambda: session.exposer.snapshot().flows_open == session.dialer.snapshot().flows_open == 0)


async def test_an_orderly_end_is_no_reset() -> None:
    async with Session() as session:
        client, service = await session.open_both()
        client.close()
        assert await read_all(service) == b""
        service.close()
        await until(lambda: session.exposer.snapshot().flows_open == session.dialer.snapshot().flows_open == 0)
        assert session.dialer.snapshot().flows_reset == 0
        assert not session.dialer_transport.resets
        assert not session.exposer_transport.stops


async def test_a_reset_of_a_connection_that_was_told_everything_is_told_too() -> None:
    """The service has the whole request, and breaks off while it answers: no clean end may reach the client."""
    async with Session() as session:
        client, service = await session.open_both()
        client.shutdown(socket.SHUT_WR)
        assert await read_all(service) == b""
        await push(service, b"half an ans")
        assert await read_exactly(client, 11) == b"half an ans"
        reset(service)
        with pytest.raises(ConnectionResetError):
            await read_all(client)


async def test_a_flow_is_never_queued_twice() -> None:
    async with Session(flight_bytes=1 << 20, piece_bytes=1 << 14) as session:
        client, service = await session.open_both()
        async with asyncio.TaskGroup() as group:
            group.create_task(push(client, bytes(8 << 20), end=True))
            reading = group.create_task(read_all(service))
            while not reading.done():
                feeder = session.dialer._table.feeder
                assert len(feeder._busy) + len(feeder._fresh) <= 1
                await asyncio.sleep(0)
        assert len(reading.result()) == 8 << 20


async def test_an_early_answer_is_heard_before_the_reset() -> None:
    """A service that answers without reading its request, and closes: the kernel resets its connection."""
    async with Session() as session:
        client, service = await session.open_both()
        await push(client, bytes(100_000))
        await until(lambda: session.exposer.snapshot().bytes_in >= 50_000)
        await push(service, b"413 too large")
        await turns(5)
        service.close()
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            for _ in range(10_000):
                await push(client, bytes(1000))
                await turns(2)
        assert client.recv(100) == b"413 too large"
        await until(lambda: session.exposer.snapshot().flows_open == session.dialer.snapshot().flows_open == 0)


@pytest.mark.parametrize("code", [StreamCode.FORWARD_REFUSED, StreamCode.SERVICE_UNKNOWN])
async def test_a_service_that_cannot_be_reached_resets_the_client(code: StreamCode) -> None:
    async with Session() as session:
        session.acceptor.hold = True
        client = session.open()
        await until(lambda: bool(session.acceptor.pending))
        session.acceptor.pending[0](code)  # type: ignore[arg-type]
        with pytest.raises(ConnectionResetError):
            await read_all(client)
        assert (4, code) in session.exposer_transport.resets
        assert session.exposer.snapshot().flows_refused == 1
        for observer in (session.dialer_observer, session.exposer_observer):
            assert [error.code for error in observer.flow_errors] == [stream_error(code).code]


async def test_what_arrives_while_the_service_is_dialled_is_kept() -> None:
    async with Session() as session:
        session.acceptor.hold = True
        client = session.open()
        await push(client, b"early", end=True)
        await until(lambda: bool(session.acceptor.pending))
        await turns(20)
        session.acceptor.connect(session.acceptor.pending[0])
        assert await read_all(session.acceptor.sockets[0]) == b"early"


async def test_a_client_that_gives_up_cancels_the_dialling() -> None:
    async with Session() as session:
        session.acceptor.hold = True
        client = session.open()
        await until(lambda: bool(session.acceptor.pending))
        reset(client)
        await until(lambda: session.acceptor.cancelled == 1)
        session.acceptor.connect(session.acceptor.pending[0])
        with pytest.raises(ConnectionResetError):
            await read_all(session.acceptor.sockets[0])


async def test_a_reader_that_sleeps_costs_a_window_and_no_more() -> None:
    async with Session(flight_bytes=1 << 20, piece_bytes=1 << 14) as session:
        asleep, service = await session.open_both()
        service.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        data = os.urandom(24 << 20)
        async with asyncio.TaskGroup() as group:
            group.create_task(push(asleep, data, end=True))
            last = -1
            while last != (now := session.dialer.snapshot().bytes_out):
                last = now
                await turns(50)
                assert session.exposer.snapshot().held_bytes <= WINDOW
            assert last < len(data) / 2, "the sender was not held back"
            assert session.dialer_transport.max_unsent <= WINDOW
            client, other = await session.open_both()
            await push(client, b"beside it")
            assert await read_exactly(other, 9) == b"beside it"
            received = await read_all(service)
        assert received == data


async def test_single_bytes_do_not_multiply_in_memory() -> None:
    async with Session() as session:
        session.acceptor.hold = True
        session.open()
        await until(lambda: bool(session.acceptor.pending))
        for number in range(20_000):
            session.exposer_transport.deliver(4, bytes((number % 256,)))
        (flow,) = session.exposer._table._flows.values()
        assert flow._pending is not None
        assert len(flow._pending._pieces) == 1
        session.acceptor.connect(session.acceptor.pending[0])
        received = await read_exactly(session.acceptor.sockets[0], 20_000)
        assert received == bytes(number % 256 for number in range(20_000))


async def test_more_than_the_credit_ends_the_session() -> None:
    async with Session() as session:
        client, _ = await session.open_both()
        session.exposer_transport.deliver(4, bytes(defaults.TUNNEL_INITIAL_CREDIT_BYTES + 1))
        assert session.exposer_observer.errors[0].code == "P2P-7213"
        with pytest.raises(ConnectionResetError):
            await read_all(client)


@pytest.mark.parametrize(
    ("data", "end"), [(b"\x01\xff\xff", False), (b"\x01\x00\x03\x02\x01\x01", False), (b"\x01\x00", True), (b"", True)]
)
async def test_a_broken_header_resets_its_stream_only(data: bytes, end: bool) -> None:
    async with Session() as session:
        client, service = await session.open_both()
        session.exposer_transport.deliver(8, data, end)
        assert session.exposer_transport.resets == [(8, StreamCode.HEADER_INVALID)]
        await push(client, b"still here")
        assert await read_exactly(service, 10) == b"still here"


async def test_late_news_of_ended_flows_is_ignored() -> None:
    async with Session() as session:
        client, service = await session.open_both()
        client.close()
        service.close()
        await until(lambda: session.exposer.snapshot().flows_open == session.dialer.snapshot().flows_open == 0)
        session.exposer_transport.deliver(4, b"late")
        assert session.dialer_transport.handler is not None
        session.dialer_transport.handler.stream_reset(4, 1)
        session.dialer_transport.handler.sending_stopped(4, 1)
        assert session.exposer.snapshot().flows_open == 0
        assert session.exposer.snapshot().flows_total == 1


async def test_a_later_stream_may_arrive_first() -> None:
    async with Session() as session:
        header = bytes.fromhex("0100020100")
        session.exposer_transport.deliver(12, header)
        session.exposer_transport.deliver(4, header)
        session.exposer_transport.deliver(8, header)
        assert session.exposer.snapshot().flows_open == 3


async def test_idle_flows_hold_no_buffers() -> None:
    async with Session() as session:
        client, service = await session.open_both()
        await push(client, b"x" * 5000)
        await read_exactly(service, 5000)
        for side in (session.dialer, session.exposer):
            (flow,) = side._table._flows.values()
            assert flow._pending is None
            assert side._table.read_buffer is session.dialer._table.read_buffer
            assert not hasattr(flow, "__dict__")
