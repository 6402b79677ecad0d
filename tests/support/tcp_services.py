"""Small TCP services and clients with blocking sockets in threads, as real programs have them."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import threading
from collections.abc import Callable
from typing import Self

from p2p.target import TcpTarget

CHUNK = 1 << 18


class TcpService:
    """Runs a function on each connection, in a thread of its own; a context manager.

    Args:
        serve: Gets the connected socket, which is closed when it returns.
    """

    def __init__(self, serve: Callable[[socket.socket], None]) -> None:
        self._serve = serve
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self._threads: list[threading.Thread] = []
        self.connections = 0

    def __enter__(self) -> Self:
        self._run(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)

    @property
    def target(self) -> TcpTarget:
        """Where it listens."""
        return TcpTarget("127.0.0.1", self._listener.getsockname()[1])

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._run(self._handle, sock)

    def _handle(self, sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError):
            self._serve(sock)

    def _run(self, function: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=function, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()


def echo(sock: socket.socket) -> None:
    """Send back what comes."""
    while data := sock.recv(CHUNK):
        sock.sendall(data)


def digest(sock: socket.socket) -> None:
    """Answer the end of the input with its SHA-256, as ``sha256sum`` does."""
    sock.sendall(receive_digest(sock))


def receive_digest(sock: socket.socket) -> bytes:
    """Read to the end and return the SHA-256."""
    total = hashlib.sha256()
    while data := sock.recv(CHUNK):
        total.update(data)
    return total.digest()


def exchange(sock: socket.socket, data: bytes) -> bytes:
    """Send while receiving, each to its end, and return the SHA-256 of what came."""

    def send() -> None:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)

    thread = threading.Thread(target=send)
    thread.start()
    total = receive_digest(sock)
    thread.join()
    return total


def receive_exactly(sock: socket.socket, length: int) -> bytes:
    """Read so many bytes, or fewer if the other side ends."""
    data = bytearray()
    while len(data) < length and (piece := sock.recv(length - len(data))):
        data += piece
    return bytes(data)


def pattern(length: int, seed: int = 0) -> bytes:
    """Bytes in which every offset looks different, and that compress to nothing useful."""
    block = hashlib.shake_256(seed.to_bytes(8, "big")).digest(min(length, (1 << 20) - 3))
    return (block * (length // max(1, len(block)) + 1))[:length]
