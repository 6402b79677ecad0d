"""WebSockets: once the service has agreed to one, the bytes of both sides pass as they are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import web
from aiohttp.base_protocol import BaseProtocol

from gateway.ingress.connection import RECORD
from gateway.ingress.h1_client import H1Client
from p2p.aio.tasks import TaskScope


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

    # What the library calls a parser is whoever takes the bytes from now on.
    visitor.set_parser(_Half(visitor, service, service.scope, ended, count_in))  # type: ignore[arg-type]
    service.set_parser(_Half(service, visitor, service.scope, ended, count_out), None)
    await ended.wait()


class _Half:
    """Gives one side what the other one says, as fast as it takes it."""

    def __init__(
        self,
        source: BaseProtocol,
        sink: BaseProtocol,
        scope: TaskScope,
        ended: asyncio.Event,
        count: Callable[[int], None],
    ) -> None:
        self._source = source
        self._sink = sink
        self._scope = scope
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
            self._scope.start(self._wait_for_sink(), name="WebSocket")
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
