"""HTTP/1.1 to exposed services: one request at a time on a flow, and flows that stay for the next one."""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from time import monotonic
from typing import Final

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError

from gateway.core.h1_head import encode_request, may_repeat
from gateway.core.h2_head import RequestHead
from gateway.ingress.answer import Answer, Outgoing
from gateway.ingress.connected import connected
from gateway.publishers import Publisher
from p2p.aio.tasks import TaskScope
from p2p.forward.sockets import Addresses

_LINE_MAX_BYTES: Final = 32_768
_FIELD_MAX_BYTES: Final = 65_536
_READ_AHEAD_BYTES: Final = 1 << 18
"""Of a body that the visitor has not taken."""

UPGRADE: Final = ("Upgrade", "websocket")
"""What asks for a WebSocket."""
_IDLE_MAX_S: Final = 30.0
_LOST: Final = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, aiohttp.ClientConnectionResetError)


class H1Client(ResponseHandler):
    """A connection to a service; how a response is read, and how its body waits for a reader, is the library's.

    Args:
        scope: Where bodies are sent, and WebSockets wait.
        silent_max_s: How long the service may be silent, before its response and within it.
    """

    def __init__(self, scope: TaskScope, silent_max_s: float) -> None:
        super().__init__(asyncio.get_running_loop())
        self.scope = scope
        self._silent_max_s = silent_max_s
        self._sending: asyncio.Task[None] | None = None

    @property
    def is_ready(self) -> bool:
        """Whether it takes another request: it is open, and the service has said nothing that nobody asked for."""
        return (self._sending is None or self._sending.done()) and self.is_connected() and not self.should_close

    async def ask(self, head: RequestHead, body: Outgoing | None) -> Answer:
        """Ask.

        Args:
            head: With ``Host``, and with ``UPGRADE`` if a WebSocket is asked for.
            body: None without one.

        Raises:
            aiohttp.ClientError: There is no answer, or it is no HTTP.
            TimeoutError: The service is silent.
        """
        encoded, is_chunked = encode_request(head, has_body=body is not None)
        self.set_response_params(
            skip_payload=head.method == "HEAD",
            read_until_eof=True,
            auto_decompress=False,
            read_timeout=self._silent_max_s,
            read_bufsize=_READ_AHEAD_BYTES,
            max_line_size=_LINE_MAX_BYTES,
            max_field_size=_FIELD_MAX_BYTES,
        )
        self._write(encoded)
        self.start_timeout()
        if body is not None:
            self._sending = self.scope.start(self._send(body, is_chunked=is_chunked), name="HTTP/1.1 body")
        try:
            message, payload = await self.read()
            while 100 <= message.code < 200 and message.code != 101:
                message, payload = await self.read()
            begun = payload.read_nowait()
        except HttpProcessingError as error:
            raise aiohttp.ClientPayloadError("the service speaks no HTTP") from error
        if message.code == 101:
            if UPGRADE not in head.headers or message.headers.get("Upgrade", "").lower() != UPGRADE[1]:
                raise aiohttp.ClientPayloadError("the service speaks another protocol than it was asked for")
            self.read_timeout = None
        return Answer(
            message.code,
            message.reason,
            list(message.headers.items()),
            payload.iter_any(),
            self.close,
            begun,
            payload.at_eof(),
            switched=self if message.code == 101 else None,
        )

    def close(self) -> None:
        """Close the connection, whatever is on its way."""
        if self._sending is not None:
            self._sending.cancel()
        super().close()

    def _write(self, data: bytes) -> None:
        if self.transport is None or self.transport.is_closing():
            raise aiohttp.ClientConnectionResetError("the service has closed the connection")
        self.transport.write(data)

    async def _send(self, body: Outgoing, *, is_chunked: bool) -> None:
        try:
            async for piece in body.pieces():
                if piece:
                    self._write(b"%x\r\n%b\r\n" % (len(piece), piece) if is_chunked else piece)
                    await self._drain_helper()
                    # The service takes what we send, so it is not silent.
                    self.start_timeout()
            if is_chunked:
                self._write(b"0\r\n\r\n")
        except Exception as error:
            # A service may answer without having taken the whole body, and close: that answer stands.
            if self.transport is not None and not self.transport.is_closing():
                self.set_exception(error)
                self.transport.abort()


class H1Pool:
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
        self._idle: deque[tuple[H1Client, float]] = deque()
        self._sweeping: asyncio.TimerHandle | None = None
        self._is_closed = False

    async def ask(self, head: RequestHead, body: Outgoing | None, addresses: Addresses | None = None) -> Answer:
        """Ask on a connection that is idle, or on a new one.

        Args:
            head: With ``Host``, and with ``UPGRADE`` if a WebSocket is asked for.
            body: None without one.
            addresses: Whose request it is, when each visitor has a flow of its own: it carries no other request.

        Raises:
            aiohttp.ClientError: There is no answer, or it is no HTTP.
            ConnectionError: No connection can be made.
            TimeoutError: The instance is silent.
        """
        is_shared = addresses is None
        while True:
            used = self._take() if is_shared else None
            client = self._open(addresses) if used is None else used
            try:
                answer = await client.ask(head, body)
            except _LOST:
                client.close()
                # The service may have closed it a moment ago, which says nothing of another one.
                if used is None or not may_repeat(head.method, has_body=body is not None):
                    raise
            except BaseException:
                client.close()
                raise
            else:
                answer.close = partial(self._done, client) if is_shared else client.close
                return answer

    def close(self) -> None:
        """Close those that are idle; the others are closed when their answers are."""
        self._is_closed = True
        if self._sweeping is not None:
            self._sweeping.cancel()
        for client, _ in self._idle:
            client.close()
        self._idle.clear()

    def _open(self, addresses: Addresses | None) -> H1Client:
        return connected(H1Client(self._scope, self._silent_max_s), self._publisher, addresses)

    def _take(self) -> H1Client | None:
        # The one that was used last: those that are too many grow old.
        while self._idle:
            client, _ = self._idle.pop()
            if client.is_ready:
                return client
            client.close()
        return None

    def _done(self, client: H1Client) -> None:
        if self._is_closed or not client.is_ready:
            client.close()
            return
        self._idle.append((client, monotonic()))
        if self._sweeping is None:
            self._sweeping = asyncio.get_running_loop().call_later(_IDLE_MAX_S, self._sweep)

    def _sweep(self) -> None:
        now = monotonic()
        while self._idle and self._idle[0][1] <= now - _IDLE_MAX_S:
            self._idle.popleft()[0].close()
        self._sweeping = None
        if self._idle:
            wait_s = self._idle[0][1] + _IDLE_MAX_S - now
            self._sweeping = asyncio.get_running_loop().call_later(wait_s, self._sweep)
