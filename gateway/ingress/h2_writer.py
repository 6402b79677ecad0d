"""The response to a request in HTTP/2, as aiohttp writes one, and the connection that it asks for."""

from __future__ import annotations

import asyncio
import contextlib

from aiohttp.abc import AbstractStreamWriter
from h2.errors import ErrorCodes
from multidict import CIMultiDict

from gateway.core.h2_head import fields_of
from gateway.core.headers import Headers
from gateway.ingress.h2_wire import H2Stream


class H2Carrier:
    """What aiohttp asks of a request's connection."""

    ssl_context = None
    peername = None
    sockname = None

    def __init__(self, stream: H2Stream) -> None:
        self._stream = stream

    @property
    def transport(self) -> H2Carrier:
        """The stream's part of the connection."""
        return self

    def abort(self) -> None:
        """Break the response off so that the visitor can tell it from an end."""
        self._stream.wire.end(self._stream.number, ErrorCodes.INTERNAL_ERROR)


class H2Writer(AbstractStreamWriter):
    """Writes a response as HTTP/2.

    Attributes:
        trailers: Fields to send after the body.
    """

    def __init__(self, stream: H2Stream) -> None:
        self.trailers: Headers = []
        self._stream = stream
        self._head: list[tuple[bytes, bytes]] | None = None
        self._sending: asyncio.Handle | None = None
        self._has_ended = False

    async def write_headers(self, status_line: str, headers: CIMultiDict[str]) -> None:
        """Take the head; it is sent a moment later, together with what follows at once."""
        self._head = [(b":status", status_line.split(" ", 2)[1].encode()), *fields_of(headers.items())]
        self._sending = asyncio.get_running_loop().call_soon(self._send_waiting_head)

    async def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """Send a part of the body."""
        self._send_head()
        await self._stream.wire.send_data(self._stream.number, memoryview(chunk))

    async def write_eof(self, chunk: bytes = b"") -> None:
        """Send the rest of the body, and the trailers."""
        if self._has_ended:
            return
        self._has_ended = True
        wire, number = self._stream.wire, self._stream.number
        # gRPC tells a response that is a head only from one with an empty body.
        if self._head is not None and not chunk and not self.trailers:
            self._send_head(is_end=True)
            return
        self._send_head()
        if chunk or not self.trailers:
            await wire.send_data(number, chunk, is_end=not self.trailers)
        if self.trailers:
            wire.send_headers(number, fields_of(self.trailers), is_end=True)

    async def drain(self) -> None:
        """See ``AbstractStreamWriter``; writing has waited already."""

    def enable_compression(self, encoding: str = "deflate", strategy: int | None = None) -> None:
        """See ``AbstractStreamWriter``; bodies pass as they are."""

    def enable_chunking(self) -> None:
        """See ``AbstractStreamWriter``; HTTP/2 has frames instead."""

    def cancel(self) -> None:
        """Send nothing more by itself."""
        if self._sending is not None:
            self._sending.cancel()

    def _send_waiting_head(self) -> None:
        with contextlib.suppress(ConnectionResetError):  # whoever writes next is told
            self._send_head()

    def _send_head(self, *, is_end: bool = False) -> None:
        self.cancel()
        if self._head is not None:
            head, self._head = self._head, None
            self._stream.wire.send_headers(self._stream.number, head, is_end=is_end)
