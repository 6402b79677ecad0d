from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from p2p.forward.stdio import StdioFlow
from tests.support.forward_session import Session, read_all, until


class Pipes:
    """What a program sees as our standard input and output."""

    def __init__(self) -> None:
        self.stdin, self.feed = os.pipe()
        self.result, self.stdout = os.pipe()

    def finish_input(self) -> None:
        os.close(self.feed)
        self.feed = -1

    def close(self) -> None:
        for descriptor in (self.stdin, self.feed, self.result, self.stdout):
            if descriptor >= 0:
                os.close(descriptor)


@pytest.fixture
def pipes() -> Iterator[Pipes]:
    made = Pipes()
    yield made
    made.close()


def read_to_end(descriptor: int) -> bytes:
    data = b""
    while piece := os.read(descriptor, 1 << 16):
        data += piece
    return data


async def test_pipes_carry_a_flow_with_half_close(pipes: Pipes) -> None:
    loop = asyncio.get_running_loop()
    async with Session() as session, StdioFlow(loop, stdin=pipes.stdin, stdout=pipes.stdout) as flow:
        flow.open(session.dialer, "ssh")
        question = os.urandom(300_000)
        writing = loop.run_in_executor(None, os.write, pipes.feed, question[:60_000])
        await until(lambda: bool(session.acceptor.sockets))
        service = session.acceptor.sockets[0]
        await writing
        os.write(pipes.feed, b"end")
        pipes.finish_input()
        assert await read_all(service) == question[:60_000] + b"end"
        reading = loop.run_in_executor(None, read_to_end, pipes.result)
        await loop.sock_sendall(service, question)
        service.close()
        assert await reading == question
        await flow.wait_closed()
        assert session.acceptor.headers[0].service == "ssh"
        await until(lambda: session.dialer.snapshot().flows_open == 0)
        assert session.dialer.snapshot().flows_reset == 0


async def test_input_may_be_a_file_or_nothing(pipes: Pipes, tmp_path: Path) -> None:
    (tmp_path / "input").write_bytes(b"from a file")
    loop = asyncio.get_running_loop()
    for path, expected in ((tmp_path / "input", b"from a file"), (Path(os.devnull), b"")):
        descriptor = os.open(path, os.O_RDONLY)
        null = os.open(os.devnull, os.O_WRONLY)
        async with Session() as session, StdioFlow(loop, stdin=descriptor, stdout=null) as flow:
            flow.open(session.dialer)
            await until(lambda: bool(session.acceptor.sockets))
            service = session.acceptor.sockets[0]
            assert await read_all(service) == expected
            service.close()
            await flow.wait_closed()
        os.close(descriptor)
        os.close(null)


async def test_input_and_output_may_be_one_socket() -> None:
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)  # as another program may have left it
    with ours, theirs:
        ours.setblocking(False)
        descriptor = theirs.fileno()
        duplicate = os.dup(descriptor)
        async with Session() as session, StdioFlow(loop, stdin=descriptor, stdout=duplicate) as flow:
            flow.open(session.dialer)
            await loop.sock_sendall(ours, b"ping")
            ours.shutdown(socket.SHUT_WR)
            await until(lambda: bool(session.acceptor.sockets))
            service = session.acceptor.sockets[0]
            assert await read_all(service) == b"ping"
            service.send(b"pong")
            service.close()
            await flow.wait_closed()
            assert ours.recv(100) == b"pong"
        os.close(duplicate)


async def test_a_reader_that_leaves_is_a_reset_for_the_service(pipes: Pipes) -> None:
    loop = asyncio.get_running_loop()
    async with Session() as session, StdioFlow(loop, stdin=pipes.stdin, stdout=pipes.stdout) as flow:
        flow.open(session.dialer)
        await until(lambda: bool(session.acceptor.sockets))
        service = session.acceptor.sockets[0]
        os.close(pipes.result)
        pipes.result = -1
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            while True:
                await loop.sock_sendall(service, bytes(1000))
                await asyncio.sleep(0)
        pipes.finish_input()
        await flow.wait_closed()


async def test_a_session_that_takes_no_flow_leaves_nothing_open(pipes: Pipes) -> None:
    loop = asyncio.get_running_loop()
    session = Session()
    async with StdioFlow(loop, stdin=pipes.stdin, stdout=pipes.stdout) as flow:
        with pytest.raises(Exception, match="takes no new connections"):
            flow.open(session.dialer)
    async with session:
        pass


async def test_closing_stops_the_copying(pipes: Pipes) -> None:
    loop = asyncio.get_running_loop()
    async with Session() as session:
        async with StdioFlow(loop, stdin=pipes.stdin, stdout=pipes.stdout) as flow:
            flow.open(session.dialer)
            await until(lambda: session.dialer.snapshot().flows_open == 1)
        pipes.finish_input()
        await asyncio.wait_for(flow.wait_closed(), 5)
