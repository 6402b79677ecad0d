"""The exposing side of a measurement: sends, swallows or sends back, in this process and without a task."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from p2p import defaults
from p2p.aio.pair import stream_pair
from p2p.errors import DecodeError
from p2p.proto.bench import REQUEST_BYTES, BenchMode, BenchReport, decode_request_untrusted, encode_report

logger = logging.getLogger(__name__)

_BLOCK: Final = memoryview(bytes(range(256)) * (defaults.BENCH_BLOCK_BYTES // 256))
"""What a source sends. Nothing on the way compresses: QUIC encrypts each packet."""


class BenchService:
    """Serves measurements, a bounded number at a time and each for a bounded time.

    Concurrency: one event loop, no task; ``close`` ends what is under way.

    Args:
        loop: The event loop.
        max_streams: Measurements at once, of all peers together.
        max_s: How long one may take.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        max_streams: int = defaults.BENCH_STREAMS_MAX,
        max_s: float = defaults.BENCH_STREAM_MAX_S,
    ) -> None:
        self._loop = loop
        self._max_streams = max_streams
        self._max_s = max_s
        self._open: set[_Measurement | EchoPort] = set()
        self._buffer = memoryview(bytearray(defaults.BENCH_BLOCK_BYTES))

    @property
    def open_count(self) -> int:
        """How many measurements are under way."""
        return len(self._open)

    def connect(self) -> socket.socket | None:
        """Begin to serve one more.

        Returns:
            The other end of it, or None while there are too many.
        """
        if len(self._open) >= self._max_streams:
            return None
        ours, theirs = stream_pair()
        self._open.add(_Measurement(self._loop, ours, self._buffer, self._max_s, self._open.discard))
        return theirs

    def echo(self, flow: EchoFlow) -> EchoPort | None:
        """Begin to send back the datagrams of a flow.

        Returns:
            Its local end, or None while there are too many.
        """
        if len(self._open) >= self._max_streams:
            return None
        port = EchoPort(flow, self._open.discard, until=self._loop.time() + self._max_s, clock=self._loop.time)
        self._open.add(port)
        return port

    def close(self) -> None:
        """End all that are under way. A second call does nothing."""
        for measurement in tuple(self._open):
            measurement.close()


class EchoFlow(Protocol):
    """What it takes to send datagrams back."""

    def push(self, buffer: bytes, size: int) -> None:
        """Take datagrams of one size, one behind the other."""
        ...

    def flush(self) -> None:
        """Send what was taken."""
        ...


class EchoPort:
    """The local end of a flow of datagrams whose service is to send them back.

    Args:
        flow: Where they come from.
        on_end: Told when the flow is over.
        until: When it stops to answer, by the clock.
        clock: Tells the time, in seconds.
    """

    dropped = 0

    def __init__(
        self, flow: EchoFlow, on_end: Callable[[EchoPort], object], *, until: float, clock: Callable[[], float]
    ) -> None:
        self._flow = flow
        self._on_end = on_end
        self._until = until
        self._clock = clock

    def send(self, datagrams: Sequence[bytes]) -> int:
        """Take what came, and send it back."""
        if self._clock() < self._until:
            for datagram in datagrams:
                self._flow.push(datagram, len(datagram))
            self._flow.flush()
        return len(datagrams)

    def close(self, *, reset: bool = False) -> None:
        """The flow is over."""
        self._on_end(self)


class _Measurement:
    """One stream: a request, then what it asks for until either side ends it or its time is over."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        buffer: memoryview,
        max_s: float,
        on_end: Callable[[_Measurement], object],
    ) -> None:
        self._loop = loop
        self._socket = sock
        self._buffer = buffer
        self._on_end = on_end
        self._request = b""
        self._unsent = b""
        self._size_bytes = 0
        self._first_at: float | None = None
        self._reported_at = 0.0
        self._max_s = max_s
        self._timer = loop.call_later(max_s, self.close)
        loop.add_reader(sock, self._guarded, self._read_request)

    def close(self) -> None:
        """End it. A second call does nothing."""
        self._timer.cancel()
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._socket.close()
        self._on_end(self)

    def _guarded(self, step: Callable[[], bool]) -> None:
        """Do one step; end when it says that nothing follows, or the other side is gone."""
        try:
            goes_on = step()
        except (BlockingIOError, InterruptedError):
            return
        except (OSError, DecodeError) as error:
            logger.info("measurement ended: %s", error)
            goes_on = False
        if not goes_on:
            self.close()

    def _read_request(self) -> bool:
        data = self._socket.recv(REQUEST_BYTES - len(self._request))
        self._request += data
        if len(self._request) < REQUEST_BYTES:
            return bool(data)
        request = decode_request_untrusted(self._request)
        self._timer.cancel()
        self._timer = self._loop.call_later(min(request.seconds, self._max_s), self.close)
        self._loop.remove_reader(self._socket)
        match request.mode:
            case BenchMode.SOURCE:
                self._loop.add_writer(self._socket, self._guarded, self._pour)
            case BenchMode.SINK:
                self._loop.add_reader(self._socket, self._guarded, self._swallow)
            case BenchMode.ECHO:
                self._loop.add_reader(self._socket, self._guarded, self._answer)
        return True

    def _pour(self) -> bool:
        # A part of a block is as good as a whole one: nobody looks at the bytes.
        self._socket.send(_BLOCK)
        return True

    def _swallow(self) -> bool:
        length = self._socket.recv_into(self._buffer)
        now = self._loop.time()
        if self._first_at is None:
            self._first_at = self._reported_at = now
        self._size_bytes += length
        if not length or now - self._reported_at >= defaults.BENCH_REPORT_S:
            self._reported_at = now
            with contextlib.suppress(BlockingIOError):  # who asked does not listen
                self._socket.send(encode_report(BenchReport(now - self._first_at, self._size_bytes)))
        return length > 0

    def _answer(self) -> bool:
        length = self._socket.recv_into(self._buffer)
        if not length:
            return False
        sent = self._socket.send(self._buffer[:length])
        if sent < length:
            # Who sends without reading waits until it has read.
            self._unsent = bytes(self._buffer[sent:length])
            self._loop.remove_reader(self._socket)
            self._loop.add_writer(self._socket, self._guarded, self._answer_rest)
        return True

    def _answer_rest(self) -> bool:
        self._unsent = self._unsent[self._socket.send(self._unsent) :]
        if not self._unsent:
            self._loop.remove_writer(self._socket)
            self._loop.add_reader(self._socket, self._guarded, self._answer)
        return True
