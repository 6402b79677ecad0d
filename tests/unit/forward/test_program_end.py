"""Flows whose local end is an asyncio protocol of this program."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import cast

import pytest

from p2p import defaults
from p2p.errors import ForwardError
from p2p.forward.connect import connect_protocol
from p2p.forward.program_end import ABSORBED_BYTES, HIGH_WATER_BYTES, ProgramEnd
from p2p.forward.sockets import Addresses
from p2p.proto.tunnel.codes import StreamCode
from tests.support.forward_session import Session, read_all, read_exactly, turns, until

NOBODY = Addresses(None, None)


class Program(asyncio.Protocol):
    """Takes note of everything."""

    def __init__(self, *, stays_open: bool = False) -> None:
        self.transport: ProgramEnd
        self.data = bytearray()
        self.has_ended = False
        self.lost: list[Exception | None] = []
        self.pauses: list[str] = []
        self.stays_open = stays_open

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(ProgramEnd, transport)

    def data_received(self, data: bytes) -> None:
        assert type(data) is bytes
        self.data += data

    def eof_received(self) -> bool:
        self.has_ended = True
        return self.stays_open

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.append(exc)

    def pause_writing(self) -> None:
        self.pauses.append("pause")

    def resume_writing(self) -> None:
        self.pauses.append("resume")


async def join(session: Session, program: Program) -> socket.socket:
    connect_protocol(session.dialer, program, "", addresses=NOBODY)
    await until(lambda: bool(session.acceptor.sockets))
    return session.acceptor.sockets[0]


def is_over(session: Session) -> bool:
    return session.dialer.snapshot().flows_open == session.exposer.snapshot().flows_open == 0


@pytest.mark.parametrize("piece_bytes", [1, 1350, 1 << 16])
async def test_bytes_arrive_exactly_in_both_directions(piece_bytes: int) -> None:
    data = os.urandom(300 * min(piece_bytes, 4096) + 13)
    async with Session(piece_bytes=piece_bytes) as session:
        program = Program(stays_open=True)
        service = await join(session, program)
        for begin in range(0, len(data), 10_000):
            program.transport.write(data[begin : begin + 10_000])
        program.transport.write_eof()
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            group.create_task(loop.sock_sendall(service, data[::-1]))
            at_service = group.create_task(read_all(service))
        assert at_service.result() == data
        service.shutdown(socket.SHUT_WR)
        await until(lambda: is_over(session))
        assert program.data == data[::-1]
        assert program.has_ended
        await until(lambda: program.lost == [None])
        figures = session.dialer.snapshot()
        assert (figures.bytes_in, figures.bytes_out, figures.flows_reset) == (len(data), len(data), 0)


async def test_what_was_written_before_the_end_arrives() -> None:
    async with Session() as session:
        program = Program()
        service = await join(session, program)
        program.transport.write(b"last words")
        program.transport.close()
        program.transport.write(b"too late")
        assert await read_all(service) == b"last words"
        await until(lambda: program.lost == [None])
        service.close()
        await until(lambda: is_over(session))


async def test_the_end_of_the_service_closes_the_protocol() -> None:
    async with Session() as session:
        program = Program()
        service = await join(session, program)
        await asyncio.get_running_loop().sock_sendall(service, b"bye")
        service.shutdown(socket.SHUT_WR)
        await until(lambda: program.lost == [None])
        assert program.data == b"bye"
        assert await read_all(service) == b""
        await until(lambda: is_over(session))
        assert program.lost == [None]


async def test_a_reset_of_the_service_is_a_reset_here() -> None:
    async with Session() as session:
        session.acceptor.hold = True
        program = Program()
        connect_protocol(session.dialer, program, "", addresses=NOBODY)
        program.transport.write(b"x")
        await until(lambda: bool(session.acceptor.pending))
        session.acceptor.pending[0](StreamCode.FORWARD_REFUSED)  # type: ignore[arg-type]
        await until(lambda: bool(program.lost))
        assert isinstance(program.lost[0], ConnectionResetError)
        assert program.transport.is_closing()


async def test_an_abort_is_a_reset_at_the_service() -> None:
    async with Session() as session:
        program = Program()
        service = await join(session, program)
        program.transport.write(b"x")
        await read_exactly(service, 1)
        program.transport.abort()
        with pytest.raises(ConnectionResetError):
            await read_all(service)
        await until(lambda: is_over(session))
        assert program.lost == [None]


async def test_a_protocol_that_reads_nothing_stops_the_service() -> None:
    async with Session() as session:
        program = Program()
        service = await join(session, program)
        program.transport.pause_reading()
        service.setblocking(False)
        sent = 0
        async with asyncio.timeout(10):
            for _ in range(400):
                try:
                    sent += service.send(bytes(1 << 16))
                except BlockingIOError:
                    await asyncio.sleep(0.005)
        await turns(10)
        (flow,) = session.dialer.flow_snapshots()
        assert program.data == b""
        assert flow.held_bytes <= defaults.TUNNEL_INITIAL_CREDIT_BYTES
        program.transport.resume_reading()
        service.shutdown(socket.SHUT_WR)
        await until(lambda: len(program.data) == sent)


async def test_a_protocol_that_stops_in_the_middle_holds_no_more_than_a_window() -> None:
    async with Session() as session:

        class Stopping(Program):
            def data_received(self, data: bytes) -> None:
                super().data_received(data)
                if len(self.data) > 1 << 20:
                    self.transport.pause_reading()

        program = Stopping()
        service = await join(session, program)
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.get_running_loop().sock_sendall(service, bytes(16 << 20)))
            await asyncio.sleep(0.5)
            (flow,) = session.dialer.flow_snapshots()
            assert 0 < flow.held_bytes <= defaults.TUNNEL_WINDOW_BYTES + ABSORBED_BYTES
            while len(program.data) < 16 << 20:
                program.transport.resume_reading()
                await asyncio.sleep(0.001)


async def test_a_service_that_reads_nothing_pauses_the_protocol() -> None:
    async with Session() as session:
        session.acceptor.hold = True
        program = Program()
        connect_protocol(session.dialer, program, "", addresses=NOBODY)
        while not program.pauses:
            program.transport.write(bytes(HIGH_WATER_BYTES // 4))
            await turns(3)
        assert program.transport.get_write_buffer_size() > HIGH_WATER_BYTES
        await until(lambda: bool(session.acceptor.pending))
        session.acceptor.connect(session.acceptor.pending[0])
        service = session.acceptor.sockets[0]
        async with asyncio.TaskGroup() as group:
            group.create_task(read_all(service))
            await until(lambda: program.pauses == ["pause", "resume"])
            program.transport.close()


async def test_a_protocol_that_fails_ends_its_connection_only() -> None:
    async with Session() as session:
        heard: list[str] = []
        session.loop.set_exception_handler(lambda _, context: heard.append(context["message"]))

        class Failing(Program):
            def data_received(self, data: bytes) -> None:
                raise ValueError("a bug")

        program = Failing()
        service = await join(session, program)
        await asyncio.get_running_loop().sock_sendall(service, b"x")
        with pytest.raises(ConnectionResetError):
            await read_all(service)
        assert heard == ["a protocol failed"]
        assert session.dialer.is_established
        assert program.lost == [None]


async def test_the_end_of_the_session_resets_protocols() -> None:
    async with Session() as session:
        program = Program()
        await join(session, program)
        session.dialer.close()
        await until(lambda: bool(program.lost))
        assert isinstance(program.lost[0], ConnectionResetError)
        with pytest.raises(ForwardError):
            connect_protocol(session.dialer, Program(), "", addresses=NOBODY)


async def test_a_protocol_may_close_from_within_what_it_is_told() -> None:
    async with Session() as session:

        class Closing(Program):
            def data_received(self, data: bytes) -> None:
                super().data_received(data)
                self.transport.write(b"thanks")
                self.transport.close()

        program = Closing()
        service = await join(session, program)
        await asyncio.get_running_loop().sock_sendall(service, b"question")
        assert await read_all(service) == b"thanks"
        assert program.data == b"question"
        service.close()
        await until(lambda: is_over(session))
