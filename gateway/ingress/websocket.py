"""WebSockets: once the service has agreed to one, the bytes of both sides pass as they are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import web
from aiohttp.base_protocol import BaseProtocol

from gateway.ingress.connection import RECORD
from gateway.ingress.h1_client import H1Client


async def relay_websocket(request: web.BaseRequest, service: H1Client) -> None:
    """Join a visitor's connection to one of the service until one of them ends.

    Nothing here looks into frames, so compression, sizes and fragments are as the two agreed.

    Args:
        request: The visitor's upgrade, which was answered.
        service: Its connection, which has switched; the caller closes it.
    """
    record, visitor = request[RECORD], request.protocol
    ended = asyncio.Event()

    def count_in(size: int) -> None:
        record.bytes_in += size

    def count_out(size: int) -> None:
        record.bytes_out += size

    to_service = _Half(visitor, service, service, ended, count_in)
    # What the library calls a parser is whoever takes the bytes from now on.
    visitor.set_parser(to_service)  # type: ignore[arg-type]
    service.set_parser(_Half(service, visitor, service, ended, count_out), None)
    await ended.wait()


class _Half:
    """Gives one side what the other one says, as fast as it takes it."""

    def __init__(
        self,
        source: BaseProtocol,
        sink: BaseProtocol,
        service: H1Client,
        ended: asyncio.Event,
        count: Callable[[int], None],
    ) -> None:
        self._source = source
        self._sink = sink
        self._service = service
        self._ended = ended
        self._count = count
        self._is_waiting = False

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Take what the source says; see ``aiohttp.http_websocket.WebSocketReader``."""
        transport = self._sink.transport
        if transport is None or transport.is_closing():
            self._ended.set()
            return False, b""
        self._count(len(data))
        transport.write(data)
        if self._sink.writing_paused and not self._is_waiting:
            self._is_waiting = True
            self._source.pause_reading()
            self._service.scope.start(self._wait_for_sink(), name="WebSocket")
        return False, b""

    def feed_eof(self) -> None:
        """The source has ended."""
        self._ended.set()

    async def _wait_for_sink(self) -> None:
        try:
            await self._sink._drain_helper()
        except ConnectionError:
            self._ended.set()
        else:
            self._is_waiting = False
            self._source.resume_reading()
