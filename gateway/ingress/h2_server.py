"""HTTP/2 for visitors: each stream becomes a request like those of HTTP/1.1, and takes the same way."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, cast

from aiohttp import EMPTY_PAYLOAD, HttpVersion11, web
from aiohttp.http_parser import RawRequestMessage
from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    Event,
    PingReceived,
    PriorityUpdated,
    RemoteSettingsChanged,
    RequestReceived,
    StreamReset,
    UnknownFrameReceived,
    WindowUpdated,
)
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from gateway.core.h2_head import RequestHead, request_head_untrusted
from gateway.core.h2_limits import REQUESTS_MAX, SMALL_WINDOW_BYTES, Nuisance, Patience
from gateway.ingress.connection import CONNECTION, KEEP_ALIVE_S, Connection, Handler
from gateway.ingress.h2_wire import H2Stream, H2Wire
from gateway.ingress.h2_writer import H2Carrier, H2Writer
from p2p.aio.tasks import TaskScope
from p2p.errors import DecodeError

logger = logging.getLogger(__name__)


class H2Server(H2Wire):
    """A visitor's connection.

    Args:
        connection: Where it came from.
        handler: Answers its requests.
        scope: Where they are answered.
    """

    def __init__(self, connection: Connection, handler: Handler, scope: TaskScope) -> None:
        super().__init__(is_client=False)
        self._connection = connection
        self._handler = handler
        self._scope = scope
        self._patience = Patience()
        self._requests = 0
        self._last = 0
        self._is_leaving = False
        self._idle: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See ``asyncio.Protocol``."""
        super().connection_made(transport)
        self._rest()

    def connection_lost(self, exc: Exception | None) -> None:
        """See ``asyncio.Protocol``."""
        super().connection_lost(exc)
        if self._idle is not None:
            self._idle.cancel()

    def handle(self, event: Event) -> None:
        """See ``H2Wire``."""
        match event:
            case RequestReceived(stream_id=number, headers=fields):
                self._begin(number or 0, fields or [], is_bodiless=bool(event.stream_ended))
            case StreamReset():
                self._bear(Nuisance.RESET)
            case DataReceived(data=data) if not data and not event.stream_ended:
                self._bear(Nuisance.CONTROL)
            case PingReceived() | RemoteSettingsChanged() | PriorityUpdated() | UnknownFrameReceived():
                self._bear(Nuisance.CONTROL)
            case WindowUpdated(delta=delta) if (delta or 0) < SMALL_WINDOW_BYTES:
                self._bear(Nuisance.SMALL_WINDOW)
            case _:
                pass
        super().handle(event)

    def leave(self) -> None:
        """Take no more requests, and close when those that are here are answered."""
        if not self._is_leaving and self.is_open:
            self._is_leaving = True
            self._last = self.h2.highest_inbound_stream_id
            self.h2.close_connection(ErrorCodes.NO_ERROR, last_stream_id=self._last)
            self.flush()
            self._close_if_done()

    def ended(self, number: int, code: ErrorCodes) -> None:
        """A request was answered, or cannot be."""
        self.end(number, code)
        self._close_if_done()
        if not self.streams:
            self._rest()

    # --- inside ------------------------------------------------------------------------------------------------

    def _begin(self, number: int, fields: list[tuple[bytes, bytes]], *, is_bodiless: bool) -> None:
        stream = self.streams[number] = _Request(self, number)
        if (self._is_leaving and number > self._last) or not self._scope.is_open:
            self.end(number, ErrorCodes.REFUSED_STREAM)
            return
        self._requests += 1
        if self._requests == REQUESTS_MAX:
            self.leave()
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        try:
            head = request_head_untrusted(fields)
        except DecodeError as error:
            logger.info("HTTP/2 request refused: %s", error)
            # The handler answers a request without a host as one that is not understood.
            head = RequestHead("GET", "/", [])
        work = stream.answer(head, self._connection, self._handler, is_bodiless=is_bodiless)
        stream.task = self._scope.start(work, name="HTTP/2 request")

    def _bear(self, kind: Nuisance) -> None:
        if self._patience.has_ended(kind, asyncio.get_running_loop().time()):
            logger.info("HTTP/2 connection of %s closed: %s", self._connection.arrival.visitor, kind)
            self.close(ErrorCodes.ENHANCE_YOUR_CALM)

    def _rest(self) -> None:
        if self._idle is None and self.is_open:
            self._idle = asyncio.get_running_loop().call_later(KEEP_ALIVE_S, self.close, ErrorCodes.NO_ERROR)

    def _close_if_done(self) -> None:
        if self._is_leaving and not self.streams:
            self.close(ErrorCodes.NO_ERROR)


class _Request(H2Stream):
    """A request, and the task that answers it."""

    task: asyncio.Task[None] | None = None

    def broken_off(self, error: BaseException) -> None:
        """See ``H2Stream``; nobody waits for the answer any more."""
        super().broken_off(error)
        if self.task is not None:
            self.task.cancel()

    async def answer(self, head: RequestHead, connection: Connection, handler: Handler, *, is_bodiless: bool) -> None:
        server = cast("H2Server", self.wire)
        writer = H2Writer(self)
        code = ErrorCodes.INTERNAL_ERROR
        try:
            request = self._request(head, connection, writer, is_bodiless=is_bodiless)
            response = await handler(request)
            await response.prepare(request)
            await response.write_eof()
            code = ErrorCodes.NO_ERROR
        except (ConnectionError, TimeoutError) as error:
            logger.info("HTTP/2 request of %s broke off: %s", connection.arrival.visitor, error)
        except Exception:
            logger.exception("HTTP/2 request failed")
        finally:
            writer.cancel()
            server.ended(self.number, code)

    def _request(
        self, head: RequestHead, connection: Connection, writer: H2Writer, *, is_bodiless: bool
    ) -> web.BaseRequest:
        path, _, query = head.target.partition("?")
        message = cast("Any", RawRequestMessage)(
            head.method,
            head.target,
            # As of HTTP/1.1, so that one code answers both; the writer translates.
            HttpVersion11,
            CIMultiDictProxy(CIMultiDict(head.headers)),
            (),
            should_close=False,
            compression=None,
            upgrade=False,
            chunked=False,
            url=URL.build(path=path, query_string=query, encoded=True),
        )
        return web.BaseRequest(
            message,
            EMPTY_PAYLOAD if is_bodiless else cast("Any", self.body),
            cast("Any", H2Carrier(self)),
            writer,
            cast("Any", asyncio.current_task()),
            asyncio.get_running_loop(),
            state={CONNECTION: connection},
        )
