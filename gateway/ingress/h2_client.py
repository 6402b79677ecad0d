"""HTTP/2 to exposed services that speak it, which gRPC needs: many requests on one flow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import TypeVar

from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated, Event, ResponseReceived
from h2.exceptions import H2Error

from gateway.core.h2_head import RequestHead, fields_of, fields_of_request, headers_of
from gateway.core.h2_limits import STREAMS_MAX
from gateway.core.headers import Headers
from gateway.ingress.answer import Answer, Outgoing
from gateway.ingress.connected import connected
from gateway.ingress.h2_wire import H2Stream, H2Wire
from gateway.publishers import Publisher
from p2p.aio.tasks import TaskScope
from p2p.forward.sockets import Addresses

ResultT = TypeVar("ResultT")


class H2Client(H2Wire):
    """A connection to a service.

    Args:
        scope: Where bodies are sent.
        silent_max_s: How long the service may be silent, before its response and within it.
    """

    def __init__(self, scope: TaskScope, silent_max_s: float) -> None:
        super().__init__(is_client=True)
        self._scope = scope
        self._silent_max_s = silent_max_s
        self._is_leaving = False

    @property
    def has_room(self) -> bool:
        """Whether it takes another request."""
        most = min(STREAMS_MAX, self.h2.remote_settings.max_concurrent_streams)
        return self.is_open and not self._is_leaving and len(self.streams) < most

    def handle(self, event: Event) -> None:
        """See ``H2Wire``."""
        super().handle(event)
        match event:
            case ResponseReceived(stream_id=number, headers=fields):
                stream = self.streams.get(number or 0)
                if isinstance(stream, _Response) and not stream.head.done():
                    stream.head.set_result(headers_of(fields or []))
            case ConnectionTerminated(last_stream_id=last):
                self._is_leaving = True
                for number in [number for number in self.streams if number > (last or 0)]:
                    self.streams.pop(number).broken_off(ConnectionResetError("the service takes no more requests"))
            case _:
                pass

    async def ask(self, head: RequestHead, body: Outgoing | None) -> Answer:
        """Ask.

        Args:
            head: With ``Host``.
            body: None without one.

        Raises:
            ConnectionResetError: There is no answer.
            TimeoutError: The service is silent.
        """
        try:
            stream = _Response(self, self.h2.get_next_available_stream_id(), self._silent_max_s)
        except H2Error as error:
            raise ConnectionResetError("the HTTP/2 connection is used up") from error
        self.streams[stream.number] = stream
        sending: asyncio.Task[None] | None = None

        def finish() -> None:
            if sending is not None:
                sending.cancel()
            stream.head.cancel()
            self.end(stream.number, ErrorCodes.CANCEL)

        try:
            self.send_headers(stream.number, fields_of_request(head), is_end=body is None)
            if body is not None:
                sending = self._scope.start(self._send(stream, body), name="HTTP/2 body")
            (_, status), *headers = await stream.wait_for_head()
        except BaseException:
            finish()
            raise
        return Answer(int(status), "", headers, stream.pieces(), finish, trailers=stream.body.trailers)

    async def _send(self, stream: _Response, body: Outgoing) -> None:
        try:
            async for piece in body.pieces():
                await self.send_data(stream.number, piece)
                stream.is_busy()
            trailers = fields_of(body.trailers())
            if trailers:
                self.send_headers(stream.number, trailers, is_end=True)
            else:
                await self.send_data(stream.number, b"", is_end=True)
        except Exception as error:
            # A service may answer without having taken the whole body, and that answer stands.
            if not (isinstance(error, ConnectionResetError) and stream.head.done()):
                stream.broken_off(error)


class _Response(H2Stream):
    """A response that is coming, and the patience with it."""

    def __init__(self, wire: H2Wire, number: int, silent_max_s: float) -> None:
        super().__init__(wire, number)
        self.head: asyncio.Future[Headers] = asyncio.get_running_loop().create_future()
        self._silent_max_s = silent_max_s
        self._patience: asyncio.Timeout | None = None

    def broken_off(self, error: BaseException) -> None:
        """See ``H2Stream``."""
        super().broken_off(error)
        if not self.head.done():
            self.head.set_exception(error)
            self.head.exception()  # nobody may be waiting for it

    def is_busy(self) -> None:
        """The service takes what we send, so it is not silent."""
        if self._patience is not None:
            self._patience.reschedule(asyncio.get_running_loop().time() + self._silent_max_s)

    async def wait_for_head(self) -> Headers:
        """Wait for the fields before the body, the status first."""
        return await self._patiently(self.head)

    async def pieces(self) -> AsyncIterator[bytes]:
        """Read the body piece by piece."""
        while piece := await self._patiently(self.body.readany()):
            yield piece

    async def _patiently(self, work: Awaitable[ResultT]) -> ResultT:
        try:
            async with asyncio.timeout(self._silent_max_s) as self._patience:
                return await work
        finally:
            self._patience = None


class H2Pool:
    """The connections to one instance.

    Args:
        publisher: The instance.
        scope: Where bodies are sent.
        silent_max_s: How long it may be silent.
    """

    def __init__(self, publisher: Publisher, scope: TaskScope, silent_max_s: float) -> None:
        self._publisher = publisher
        self._scope = scope
        self._silent_max_s = silent_max_s
        self._clients: list[H2Client] = []

    async def ask(self, head: RequestHead, body: Outgoing | None, addresses: Addresses | None = None) -> Answer:
        """Ask on a connection that has room, or on a new one.

        Args:
            head: With ``Host``.
            body: None without one.
            addresses: Whose request it is, when each visitor has a flow of its own: it carries no other request.

        Raises:
            ConnectionError: No connection can be made, or there is no answer.
            TimeoutError: The instance is silent.
        """
        if addresses is None:
            return await self._shared().ask(head, body)
        client = self._open(addresses)
        try:
            answer = await client.ask(head, body)
        except BaseException:
            client.close()
            raise
        finish = answer.close

        def close() -> None:
            finish()
            client.close()

        answer.close = close
        return answer

    def _shared(self) -> H2Client:
        self._clients = [client for client in self._clients if client.is_open]
        for client in self._clients:
            if client.has_room:
                return client
        client = self._open(None)
        self._clients.append(client)
        return client

    def close(self) -> None:
        """Close all of them."""
        for client in self._clients:
            client.close(ErrorCodes.NO_ERROR)

    def _open(self, addresses: Addresses | None) -> H2Client:
        return connected(H2Client(self._scope, self._silent_max_s), self._publisher, addresses)
