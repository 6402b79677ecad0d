"""Two connections through a forward, watched while the network changes: a bulk transfer, and a stream of messages.

The bulk service sends as fast as it is read, until the client closes its sending half. The stream service sends every
message back. Both ends run in threads of this process, so that one clock tells when what arrived on either side.
"""

from __future__ import annotations

import contextlib
import hashlib
import select
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Final

_BULK: Final = b"B"
_STREAM: Final = b"S"
_PIECE_BYTES: Final = 1 << 16
_MESSAGE: Final = struct.Struct("!Qd48x")
_STOP_CHECK_S: Final = 0.2
# Shorter pauses are of no interest; without this limit a transfer of minutes would be a list of millions.
_REMEMBERED_S: Final = 0.03
_JOIN_S: Final = 60.0

Where = Callable[[], AbstractContextManager[None]]


class Arrivals:
    """When something arrived, as far as it matters for the question how long nothing did."""

    def __init__(self) -> None:
        self.count = 0
        self._last_at = time.monotonic()
        self._gaps: list[tuple[float, float]] = []

    def note(self) -> None:
        """Something arrived now."""
        now = time.monotonic()
        if now - self._last_at > _REMEMBERED_S:
            self._gaps.append((self._last_at, now))
        self._last_at = now
        self.count += 1

    def longest_gap_s(self, since: float, until: float) -> float:
        """The longest time without an arrival between two instants, in seconds."""
        gaps = [*self._gaps, (self._last_at, until)]
        return max((min(end, until) - max(start, since) for start, end in gaps), default=0.0)


class WatchedService:
    """Both services on one port.

    Args:
        where: Enters the namespace to be in.
    """

    def __init__(self, where: Where) -> None:
        with where():
            self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.bulk_sent = hashlib.sha256()
        self.messages = Arrivals()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._accept, name="watched service")]

    def __enter__(self) -> WatchedService:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in list(self._threads):
            thread.join(_JOIN_S)
        self._listener.close()

    def _accept(self) -> None:
        self._listener.settimeout(_STOP_CHECK_S)
        while not self._stop.is_set():
            try:
                link, _ = self._listener.accept()
            except TimeoutError:
                continue
            thread = threading.Thread(target=self._serve, args=(link,), name="watched connection")
            self._threads.append(thread)
            thread.start()

    def _serve(self, link: socket.socket) -> None:
        # A failure is the client's to notice: what it waits for does not come.
        with link, contextlib.suppress(OSError):
            link.settimeout(None)
            kind = link.recv(1)
            if kind == _BULK:
                self._send_bulk(link)
            elif kind == _STREAM:
                self._send_back(link)

    def _send_bulk(self, link: socket.socket) -> None:
        piece = hashlib.shake_128(b"bulk").digest(_PIECE_BYTES)
        number = 0
        while not self._stop.is_set():
            readable, writable, _ = select.select([link], [link], [], _STOP_CHECK_S)
            if readable:
                return
            if writable:
                numbered = struct.pack("!Q", number) + piece
                number += 1
                self.bulk_sent.update(numbered)
                link.sendall(numbered)

    def _send_back(self, link: socket.socket) -> None:
        while data := link.recv(_PIECE_BYTES):
            self.messages.note()
            link.sendall(data)


class WatchedTraffic:
    """The client of both services; begins at once.

    Args:
        where: Enters the namespace to be in.
        port: Of the forward on that host.
        service: The other end.
        rate: Messages a second.
    """

    def __init__(self, where: Where, port: int, service: WatchedService, *, rate: float) -> None:
        self._service = service
        self._interval_s = 1 / rate
        self._bulk_received = hashlib.sha256()
        self._bulk = Arrivals()
        self._echoes = Arrivals()
        self._ending = threading.Event()
        self._problems: list[str] = []
        self.bulk_bytes = 0
        self._bulk_link = self._connect(where, port, _BULK)
        self._stream_link = self._connect(where, port, _STREAM)
        self._threads = [
            threading.Thread(target=self._guard, args=(work,), name=work.__name__)
            for work in (self._receive_bulk, self._send_messages, self._receive_messages)
        ]
        for thread in self._threads:
            thread.start()

    @staticmethod
    def _connect(where: Where, port: int, kind: bytes) -> socket.socket:
        with where():
            link = socket.create_connection(("127.0.0.1", port), timeout=_JOIN_S)
        link.settimeout(None)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link.sendall(kind)
        return link

    @property
    def problems(self) -> tuple[str, ...]:
        """What an application would have noticed, such as a reset; empty while all is well."""
        return tuple(self._problems)

    def bulk_stall_s(self, since: float, until: float) -> float:
        """The longest time in which the bulk did not go on between two instants."""
        return self._bulk.longest_gap_s(since, until)

    def stream_gap_s(self, since: float, until: float) -> float:
        """The longest time without a message between two instants, on the side where it was longer."""
        sides = (self._echoes, self._service.messages)
        return max(side.longest_gap_s(since, until) for side in sides)

    def finish(self, *, least_bytes: int) -> None:
        """Let the bulk come to a size, end both in order, and see that nothing was lost; ``problems`` has the rest.

        Args:
            least_bytes: What the bulk must have moved in all.
        """
        while self.bulk_bytes < least_bytes and not self._problems:
            time.sleep(_STOP_CHECK_S)
        self._ending.set()
        with contextlib.suppress(OSError):
            self._bulk_link.shutdown(socket.SHUT_WR)
        for thread in self._threads:
            thread.join(_JOIN_S)
            if thread.is_alive():
                self._problems.append(f"{thread.name} hangs")
        if self._bulk_received.digest() != self._service.bulk_sent.digest():
            self._problems.append("the bulk that arrived is not what was sent")
        self.close()

    def close(self) -> None:
        """End both, whatever they do. A second call does nothing."""
        self._ending.set()
        for link in (self._bulk_link, self._stream_link):
            if link.fileno() >= 0:
                with contextlib.suppress(OSError):
                    link.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(_JOIN_S)
        self._bulk_link.close()
        self._stream_link.close()

    def _guard(self, work: Callable[[], None]) -> None:
        try:
            work()
        except (OSError, ValueError) as error:
            if not self._ending.is_set():
                self._problems.append(f"{work.__name__}: {error}")

    def _receive_bulk(self) -> None:
        while data := self._bulk_link.recv(_PIECE_BYTES):
            self._bulk.note()
            self._bulk_received.update(data)
            self.bulk_bytes += len(data)
        if not self._ending.is_set():
            raise ValueError("the bulk ended early")

    def _send_messages(self) -> None:
        number = 0
        next_at = time.monotonic()
        while not self._ending.wait(max(next_at - time.monotonic(), 0.0)):
            self._stream_link.sendall(_MESSAGE.pack(number, time.monotonic()))
            number += 1
            next_at += self._interval_s
        self._stream_link.shutdown(socket.SHUT_WR)

    def _receive_messages(self) -> None:
        expected = 0
        waiting = b""
        while data := self._stream_link.recv(_PIECE_BYTES):
            self._echoes.note()
            waiting += data
            while len(waiting) >= _MESSAGE.size:
                number, _sent_at = _MESSAGE.unpack_from(waiting)
                if number != expected:
                    raise ValueError(f"message {number} came, {expected} was due")
                expected += 1
                waiting = waiting[_MESSAGE.size :]
        if not self._ending.is_set():
            raise ValueError("the stream ended early")
