"""A client that stops reading while the service sends: it costs bounded memory, and nobody else's speed."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.support.commands import Command, meeting_point
from tests.support.processes import resident_bytes
from tests.support.tcp_services import TcpService

MEBI = 1 << 20
GROWTH_MAX_BYTES = 16 * MEBI
FAST_BYTES = {"qh3": 48 * MEBI, "aioquic": 12 * MEBI}
BLOCK = bytes(MEBI)
PATIENCE_S = 20.0


class Source:
    """A service that sends as many bytes as it is asked for, and knows how many the network took."""

    def __init__(self) -> None:
        self.sent_by_request: dict[int, int] = {}

    def serve(self, sock: socket.socket) -> None:
        """Take eight bytes, a number, and send so many."""
        request = sock.recv(8, socket.MSG_WAITALL)
        (wanted,) = struct.unpack("!Q", request)
        self.sent_by_request[wanted] = 0
        while (rest := wanted - self.sent_by_request[wanted]) > 0:
            self.sent_by_request[wanted] += sock.send(BLOCK[:rest])


def ask(port: int, size: int) -> socket.socket:
    """Open a connection and ask for bytes."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=30)
    sock.sendall(struct.pack("!Q", size))
    return sock


def fetch(port: int, size: int) -> float:
    """Read everything at once.

    Returns:
        Bytes a second.
    """
    began_at = time.monotonic()
    with ask(port, size) as sock:
        rest = size
        while rest and (piece := sock.recv(min(rest, MEBI))):
            rest -= len(piece)
    assert rest == 0
    return size / (time.monotonic() - began_at)


@contextmanager
def highest_growth(*programs: Command) -> Iterator[dict[str, int]]:
    """Sample the memory of the programs; the result is there when the block has ended."""
    before = [resident_bytes(program.pid) for program in programs]
    growth = dict.fromkeys((str(program.pid) for program in programs), 0)
    is_over = threading.Event()

    def sample() -> None:
        while not is_over.wait(0.05):
            for program, was in zip(programs, before, strict=True):
                growth[str(program.pid)] = max(growth[str(program.pid)], resident_bytes(program.pid) - was)

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield growth
    finally:
        is_over.set()
        thread.join()


def run(folder: Path, *, offered_bytes: int, stalled_s: float, stalled: int, engine: str) -> None:
    source = Source()
    flags = ("--engine", engine)
    with TcpService(source.serve) as service, meeting_point(folder) as peers, ExitStack() as stack:
        ticket, exposer = stack.enter_context(peers.expose(service.target.port, *flags))
        port, connector = stack.enter_context(peers.connect(ticket, *flags))
        # The first transfers make buffers that stay; what counts is what comes on top.
        alone = max(fetch(port, FAST_BYTES[engine] + number) for number in range(2))
        with highest_growth(exposer, connector) as growth:
            sleepers = [stack.enter_context(ask(port, offered_bytes + number)) for number in range(stalled)]
            ends_at = time.monotonic() + stalled_s
            beside = 0.0
            gives_up_at = ends_at + PATIENCE_S
            # The best of several: the machine does other things as well, for seconds at a time.
            while (now := time.monotonic()) < ends_at or (beside <= alone / 2 and now < gives_up_at):
                beside = max(beside, fetch(port, FAST_BYTES[engine]))
        taken = max(source.sent_by_request[offered_bytes + number] for number in range(stalled))
        # Socket buffers of the kernel at both ends, and 1 MiB in each of our programs; the rest waits in the service.
        assert taken < min(offered_bytes, 24 * MEBI)
        assert all(size < GROWTH_MAX_BYTES for size in growth.values()), growth
        assert beside > alone / 2, (beside, alone)
        # What was held back comes when it is wanted.
        for sleeper in sleepers:
            received = 0
            while received < 2 * taken and (piece := sleeper.recv(MEBI)):
                received += len(piece)
            assert received >= 2 * taken


@pytest.mark.parametrize("engine", ["qh3", "aioquic"])
def test_a_slow_reader_costs_little_memory_and_no_speed(tmp_path: Path, engine: str) -> None:
    run(tmp_path, offered_bytes=64 * MEBI, stalled_s=2.0, stalled=1, engine=engine)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_slow_readers_for_a_minute(tmp_path: Path) -> None:
    run(tmp_path, offered_bytes=1024 * MEBI, stalled_s=60.0, stalled=1, engine="qh3")
