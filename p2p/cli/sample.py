"""A web server with one file of known content, and a client that checks every byte of it."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

from p2p.address import TransportAddress
from p2p.errors import ErrorCode, ForwardError

CODE_WRONG_BYTES: Final = ErrorCode("P2P-6191", "This is a bug in the toolkit: please report it with the log.")

_BLOCK: Final = bytes(range(256)) * 256
_READ_BYTES: Final = 1 << 20


class Fetched(NamedTuple):
    """What the fetch brought.

    Attributes:
        size_bytes: Bytes of the file.
        took_s: From the connection to the last byte.
    """

    size_bytes: int
    took_s: float


@asynccontextmanager
async def web_server(size_bytes: int) -> AsyncIterator[TransportAddress]:
    """Serve one file of known content over HTTP.

    Args:
        size_bytes: Its size.

    Yields:
        Where it is served.
    """
    server = await asyncio.get_running_loop().create_server(lambda: _WebPage(size_bytes), "127.0.0.1", 0)
    try:
        yield TransportAddress.from_socket(server.sockets[0].getsockname())
    finally:
        server.close()


class _WebPage(asyncio.Protocol):
    """Answers any request with the file, and waits while the other side is slow."""

    def __init__(self, size_bytes: int) -> None:
        self._left = size_bytes
        self._transport: asyncio.WriteTransport | None = None
        self._is_paused = False
        self._has_begun = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._has_begun:
            return
        self._has_begun = True
        assert self._transport is not None
        self._transport.write(f"HTTP/1.1 200 OK\r\nContent-Length: {self._left}\r\nConnection: close\r\n\r\n".encode())
        self._send()

    def pause_writing(self) -> None:
        self._is_paused = True

    def resume_writing(self) -> None:
        self._is_paused = False
        # Not at once: CPython 3.11 closes a transport twice that is closed from inside this call.
        asyncio.get_running_loop().call_soon(self._send)

    def _send(self) -> None:
        assert self._transport is not None
        while self._left and not self._is_paused:
            block = _BLOCK[: self._left]
            self._left -= len(block)
            self._transport.write(block)
        if not self._left:
            self._transport.close()


async def fetch(address: TransportAddress, size_bytes: int) -> Fetched:
    """Fetch the file and check it.

    Args:
        address: Where to connect.
        size_bytes: How long the file must be.

    Raises:
        ForwardError: Bytes are missing or different.
    """
    started_at = time.monotonic()
    reader, writer = await asyncio.open_connection(address.host, address.port)
    try:
        writer.write(b"GET / HTTP/1.1\r\nHost: demo\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        received = 0
        digest = hashlib.sha256()
        while chunk := await reader.read(_READ_BYTES):
            received += len(chunk)
            digest.update(chunk)
    except (OSError, asyncio.IncompleteReadError) as error:
        raise ForwardError(f"the fetch broke off: {error}", code=CODE_WRONG_BYTES) from error
    finally:
        writer.close()
    expected = hashlib.sha256()
    for start in range(0, size_bytes, len(_BLOCK)):
        expected.update(_BLOCK[: size_bytes - start])
    if digest.digest() != expected.digest():
        raise ForwardError(f"{received} of {size_bytes} bytes came, and they differ", code=CODE_WRONG_BYTES)
    return Fetched(received, time.monotonic() - started_at)
