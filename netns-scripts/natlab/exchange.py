"""A small TCP service and its client: both send as much as the other and check what came, byte by byte.

The client sends ``LABX``, the size in 8 bytes, and that many random bytes, then closes its sending half. The service
answers the header with one byte at once; when it has everything, with the SHA-256 of what came, then the SHA-256 of
what it sends, and as many random bytes, and closes. So half-closing is tried as well.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Final

_MAGIC: Final = b"LABX"
_HEADER: Final = struct.Struct("!4sQ")
_WELCOME: Final = b"!"
_DIGEST_BYTES: Final = 32
_PIECE_BYTES: Final = 1 << 16
_MOST_BYTES: Final = 1 << 30
_STOP_CHECK_S: Final = 0.2


def _read(link: socket.socket, size: int) -> bytes:
    """Read exactly that many bytes.

    Raises:
        ConnectionError: The other side closed before.
    """
    pieces = []
    while size:
        piece = link.recv(min(size, _PIECE_BYTES))
        if not piece:
            raise ConnectionError(f"closed with {size} bytes missing")
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def _expect_end(link: socket.socket) -> None:
    if link.recv(1):
        raise ConnectionError("more bytes than were announced")


class ExchangeService:
    """The service, in threads of its own.

    Args:
        where: Enters the namespace to be in.
        timeout_s: How long a connection may be silent, in seconds.
    """

    def __init__(self, where: Callable[[], AbstractContextManager[None]], *, timeout_s: float) -> None:
        with where():
            self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._timeout_s = timeout_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._accept, name="exchange service")

    def __enter__(self) -> ExchangeService:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._listener.close()

    def _accept(self) -> None:
        self._listener.settimeout(_STOP_CHECK_S)
        while not self._stop.is_set():
            try:
                link, _ = self._listener.accept()
            except TimeoutError:
                continue
            threading.Thread(target=self._serve, args=(link,), name="exchange", daemon=True).start()

    def _serve(self, link: socket.socket) -> None:
        # A failure is the client's to notice: its bytes are missing.
        with link, contextlib.suppress(OSError):
            link.settimeout(self._timeout_s)
            magic, size = _HEADER.unpack(_read(link, _HEADER.size))
            if magic != _MAGIC or size > _MOST_BYTES:
                return
            link.sendall(_WELCOME)
            received = _read(link, size)
            _expect_end(link)
            answer = secrets.token_bytes(size)
            link.sendall(hashlib.sha256(received).digest() + hashlib.sha256(answer).digest() + answer)


@dataclass(frozen=True, slots=True)
class Exchange:
    """What a client saw.

    Attributes:
        first_byte_at: When the first byte came, on the monotonic clock, or None.
        problem: What was wrong, empty when every byte was right both ways.
        took_s: From the first byte until all was there, in seconds; None when something was wrong.
    """

    first_byte_at: float | None
    problem: str
    took_s: float | None = None


def exchange(
    where: Callable[[], AbstractContextManager[None]], host: str, port: int, *, size: int, timeout_s: float
) -> Exchange:
    """Be the client of one exchange.

    Args:
        where: Enters the namespace to be in.
        host: The service's address.
        port: The service's port.
        size: Bytes to send each way.
        timeout_s: How long the connection may be silent, in seconds.
    """
    with where():
        link = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    first_byte_at = None
    payload = secrets.token_bytes(size)
    with link:
        link.settimeout(timeout_s)
        try:
            link.connect((host, port))
            link.sendall(_HEADER.pack(_MAGIC, size))
            if _read(link, 1) != _WELCOME:
                return Exchange(None, "the first byte is wrong")
            first_byte_at = time.monotonic()
            link.sendall(payload)
            link.shutdown(socket.SHUT_WR)
            sent, announced = _read(link, _DIGEST_BYTES), _read(link, _DIGEST_BYTES)
            received = _read(link, size)
            _expect_end(link)
        except OSError as error:
            return Exchange(first_byte_at, f"{type(error).__name__}: {error}")
    if sent != hashlib.sha256(payload).digest():
        return Exchange(first_byte_at, "what was sent is not what arrived")
    if announced != hashlib.sha256(received).digest():
        return Exchange(first_byte_at, "what arrived is not what was sent")
    return Exchange(first_byte_at, "", time.monotonic() - first_byte_at)
