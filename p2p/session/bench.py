"""What ``p2p bench`` does: throughput both ways and latency, through the tunnel as any program would see it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import replace
from typing import Any, Final

from p2p import defaults
from p2p.aio.reset import reset_on_close
from p2p.aio.tasks import TaskScope
from p2p.errors import ErrorCode, ForwardError, P2PError
from p2p.forward.connect import connect_flow
from p2p.proto.bench import (
    BENCH_SERVICE,
    BenchMode,
    BenchReport,
    BenchRequest,
    decode_reports_untrusted,
    encode_request,
)
from p2p.proto.tunnel.codes import StreamCode, stream_error
from p2p.session.bench_datagrams import echo_datagrams
from p2p.session.bench_result import BenchResult, Latency, Throughput
from p2p.session.connector import Connector
from p2p.session.describe import path_fields
from p2p.session.events import Event, Problem
from p2p.session.options import ConnectOptions, PeerOptions
from p2p.session.peer_session import PeerSession

CODE_NOT_PERMITTED: Final = ErrorCode(
    "P2P-6401", "Ask the exposing side to start `p2p expose` with --allow-bench, or to update it."
)
CODE_BROKE_OFF: Final = ErrorCode("P2P-6402", "Run the measurement again, with fewer --streams.", retryable=True)

_BLOCK: Final = bytes(range(256)) * (defaults.BENCH_BLOCK_BYTES // 256)
_MESSAGE: Final = bytes(defaults.BENCH_MESSAGE_BYTES)
_UNKNOWN_SERVICE: Final = stream_error(StreamCode.SERVICE_UNKNOWN).code


async def bench(ticket: str, options: PeerOptions, *, seconds: int, streams: int) -> AsyncIterator[BenchResult]:
    """Open a session, wait until its path has settled, and measure.

    Args:
        ticket: The ticket's text.
        options: Who we are and where we meet.
        seconds: How long each of the four parts takes.
        streams: How many streams carry bytes at once.

    Yields:
        What is known, after the path has settled and after each part.

    Raises:
        P2PError: The session cannot be opened or ended, or the exposing side does not permit it.
    """
    problems: list[P2PError] = []

    def told(event: Event) -> None:
        if isinstance(event, Problem):
            problems.append(event.error)

    async with Connector(ConnectOptions(ticket=ticket), options, on_event=told) as connector:
        session = await connector.open_session(options.timeout_s)
        await _settle(session)
        reason = None if session.reason is None else session.reason.code.value
        switches = len(session.history)
        result = BenchResult(**path_fields(session), reason=reason, streams=streams, seconds=seconds)
        yield result
        run = _Run(session, problems, seconds, streams)
        # The round trip is known best now: at first both sides were busy with the session's beginning.
        result = replace(result, idle=Latency.of(await run.wait_alone()), rtt_s=session.rtt_s)
        yield result
        result = replace(result, udp=await echo_datagrams(session, seconds))
        yield result
        result = replace(result, download=await run.download())
        yield result
        result = replace(result, upload=await run.upload(), path_changes=len(session.history) - switches)
        yield result


async def _settle(session: PeerSession) -> None:
    """Wait until the path is direct, or it is known why it will not be."""
    deadline = asyncio.get_running_loop().time() + defaults.BENCH_SETTLE_S
    while session.error is None and session.reason is None and asyncio.get_running_loop().time() < deadline:
        if session.path is not None and session.path.is_direct:
            return
        await asyncio.sleep(defaults.BENCH_WATCH_S)


class _Run:
    """The parts of a run, one after the other on one session."""

    def __init__(self, session: PeerSession, problems: list[P2PError], seconds: int, streams: int) -> None:
        self._session = session
        self._problems = problems
        self._seconds = seconds
        self._streams = streams
        self._loop = asyncio.get_running_loop()

    async def wait_alone(self) -> list[float]:
        """Measure how long requests take while nothing else is sent."""
        async with _Part(self) as part:
            await part.last(lambda: bool(part.samples_s))
        return part.samples_s

    async def download(self) -> Throughput:
        """Measure how much comes from the exposing side, and what requests take meanwhile."""
        async with _Part(self) as part:
            for _ in range(self._streams):
                part.start(part.receive(part.open(BenchMode.SOURCE)))
            await part.last(lambda: part.first_at is not None)
            assert part.first_at is not None
            took_s = self._loop.time() - part.first_at
            size_bytes = part.size_bytes
        await self._rest()
        return Throughput(size_bytes=size_bytes, took_s=took_s, latency=Latency.of(part.samples_s))

    async def upload(self) -> Throughput:
        """Measure how much the exposing side gets from us, by its own count, and what requests take meanwhile."""
        async with _Part(self) as part:
            for number in range(self._streams):
                sock = part.open(BenchMode.SINK)
                part.start(part.send(sock))
                part.start(part.listen(sock, number))
            await part.last(lambda: bool(part.reports))
            reports = list(part.reports.values())
        return Throughput(
            size_bytes=sum(report.size_bytes for report in reports),
            took_s=max(report.elapsed_s for report in reports),
            latency=Latency.of(part.samples_s),
        )

    async def _rest(self) -> None:
        """Wait for what the last part has under way: it would slow down the next one."""
        deadline = self._loop.time() + defaults.BENCH_REST_S
        while self._loop.time() < deadline:
            await asyncio.sleep(defaults.BENCH_WATCH_S)
            if not self._session.multiplexer.snapshot().flows_open:
                return

    def open(self, mode: BenchMode) -> socket.socket:
        """Open a stream, and say what the exposing side should do with it."""
        ours = connect_flow(self._session.multiplexer, BENCH_SERVICE)
        # What is not sent yet when the part is over shall not be sent any more.
        reset_on_close(ours)
        ours.send(encode_request(BenchRequest(mode, self._seconds + round(defaults.BENCH_FIRST_BYTE_S))))
        return ours

    def broken(self) -> P2PError:
        """Say why a stream has ended that should not have."""
        if self._session.error is not None:
            return self._session.error
        for error in self._problems:
            if error.code == _UNKNOWN_SERVICE:
                return ForwardError("the exposing side does not permit measurements", code=CODE_NOT_PERMITTED)
            if isinstance(error, ForwardError):
                return error
        return ForwardError("the measurement broke off", code=CODE_BROKE_OFF)

    @property
    def seconds(self) -> int:
        """How long a part takes."""
        return self._seconds


class _Part:
    """One part: streams that are opened for it and given up with it, and what came over them.

    From its beginning to its end one stream carries requests, each as soon as the last one is answered.
    """

    def __init__(self, run: _Run) -> None:
        self.samples_s: list[float] = []
        self.first_at: float | None = None
        self.size_bytes = 0
        self.reports: dict[int, BenchReport] = {}
        self._run = run
        self._loop = asyncio.get_running_loop()
        self._scope = TaskScope()
        self._sockets: list[socket.socket] = []
        self._failure: asyncio.Future[P2PError] = self._loop.create_future()

    async def __aenter__(self) -> _Part:
        await self._scope.__aenter__()
        self.start(self.ask(self.open(BenchMode.ECHO)))
        return self

    async def __aexit__(self, *exception: Any) -> None:
        try:
            # Without the exception, which would come back inside a group.
            await self._scope.__aexit__(None, None, None)
        finally:
            for sock in self._sockets:
                sock.close()

    def open(self, mode: BenchMode) -> socket.socket:
        """Open a stream that ends with the part."""
        sock = self._run.open(mode)
        self._sockets.append(sock)
        return sock

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something until the part is over."""
        self._scope.start(self._guarded(work), name="measurement")

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        """Work ends by itself only when its stream does."""
        with contextlib.suppress(OSError):
            await work
        if not self._failure.done():
            self._failure.set_result(self._run.broken())

    async def last(self, has_begun: Callable[[], bool]) -> None:
        """Wait for the first byte, and then as long as a part takes.

        Raises:
            P2PError: A stream has ended, or nothing comes.
        """
        deadline = self._loop.time() + defaults.BENCH_FIRST_BYTE_S
        while not has_begun():
            await asyncio.wait((self._failure,), timeout=defaults.BENCH_WATCH_S)
            if self._failure.done():
                raise self._failure.result()
            if self._loop.time() >= deadline:
                raise self._run.broken()
        await asyncio.wait((self._failure,), timeout=self._run.seconds)
        if self._failure.done():
            raise self._failure.result()

    async def ask(self, sock: socket.socket) -> None:
        """Send a request as soon as the last one is answered."""
        while True:
            asked_at = self._loop.time()
            await self._loop.sock_sendall(sock, _MESSAGE)
            left = len(_MESSAGE)
            while left:
                data = await self._loop.sock_recv(sock, left)
                if not data:
                    return
                left -= len(data)
            self.samples_s.append(self._loop.time() - asked_at)

    async def receive(self, sock: socket.socket) -> None:
        """Count what comes."""
        buffer = bytearray(defaults.BENCH_BLOCK_BYTES)
        while length := await self._loop.sock_recv_into(sock, buffer):
            if self.first_at is None:
                self.first_at = self._loop.time()
            self.size_bytes += length

    async def send(self, sock: socket.socket) -> None:
        """Send as fast as it goes."""
        while True:
            await self._loop.sock_sendall(sock, _BLOCK)

    async def listen(self, sock: socket.socket, number: int) -> None:
        """Keep the last report of how much has arrived."""
        rest = b""
        while data := await self._loop.sock_recv(sock, defaults.BENCH_BLOCK_BYTES):
            report, rest = decode_reports_untrusted(rest + data)
            if report is not None:
                self.reports[number] = report
