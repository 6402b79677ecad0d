"""Visitors' connections that HTTP is spoken on, in both its versions."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Any, Final, NoReturn, Self
from weakref import WeakSet

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from gateway.core import problems
from gateway.core.client_certificates import ClientCertificate
from gateway.ingress.connection import CONNECTION, KEEP_ALIVE_S, SERVER, Connection, Handler, Tls
from gateway.ingress.front import Arrival
from gateway.ingress.h2_server import H2Server
from gateway.ingress.opening import H2_PREFACE, ByAlpn, beginning
from gateway.ingress.tcpmux import METHOD, Tcpmux
from p2p.aio.tasks import TaskScope
from p2p.errors import DecodeError
from p2p.forward.sockets import close

logger = logging.getLogger(__name__)

LINE_MAX_BYTES: Final = 16_384
FIELD_MAX_BYTES: Final = 32_768
TLS_WITHIN_S: Final = 10.0
FIRST_BYTE_WITHIN_S: Final = 30.0
"""How long a connection may be silent after it was made; browsers make some in advance."""
_GOODBYE_S: Final = 10.0
_GOODBYE_LOOK_S: Final = 0.05


class HttpConnections:
    """Serves HTTP on connections that were accepted elsewhere.

    Args:
        handler: Answers each request, whatever version it came in; it finds the connection under ``CONNECTION``.
        tcpmux: Takes connections that ask for another one by CONNECT.
    """

    def __init__(self, handler: Handler, tcpmux: Tcpmux) -> None:
        self._handler = handler
        self._tcpmux = tcpmux
        self._http1 = _Http1(handler)
        self._http2: WeakSet[H2Server] = WeakSet()
        self._scope = TaskScope()

    async def __aenter__(self) -> Self:
        await self._scope.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._http1.pre_shutdown()
        for connection in self._http2:
            connection.leave()
        try:
            await self._http1.shutdown(_GOODBYE_S)
            async with asyncio.timeout(_GOODBYE_S):
                while any(connection.streams for connection in self._http2):  # noqa: ASYNC110 -- each ends by itself
                    await asyncio.sleep(_GOODBYE_LOOK_S)
        except TimeoutError:
            logger.info("requests are broken off")
        finally:
            await self._scope.__aexit__(None, None, None)
            for connection in self._http2:
                connection.abort()

    async def serve(self, arrival: Arrival, tls: Tls | None = None) -> None:
        """Take a connection over.

        Args:
            arrival: The connection.
            tls: How TLS ends here; None without.
        """
        try:
            make: Callable[[], asyncio.Protocol]
            if tls is None:
                async with asyncio.timeout(FIRST_BYTE_WITHIN_S):
                    begins = await beginning(arrival.sock, H2_PREFACE, METHOD)
                if begins == METHOD:
                    await self._tcpmux.serve(arrival)
                    return
                make = partial(self._h2 if begins else self._http1.handler, Connection(arrival, "http"))
            else:
                make = partial(
                    ByAlpn,
                    h2=lambda there: self._h2(_behind_tls(arrival, tls, there)),
                    h1=lambda there: self._http1.handler(_behind_tls(arrival, tls, there)),
                )
            await asyncio.get_running_loop().connect_accepted_socket(
                make,
                arrival.sock,
                ssl=None if tls is None else tls.context,
                ssl_handshake_timeout=None if tls is None else TLS_WITHIN_S,
            )
        except (OSError, TimeoutError, DecodeError) as error:
            logger.info("connection of %s dropped: %s", arrival.visitor, error)
            close(arrival.sock, reset=True)
        except BaseException:
            close(arrival.sock, reset=True)
            raise

    def _h2(self, connection: Connection) -> H2Server:
        server = H2Server(connection, self._handler, self._scope)
        self._http2.add(server)
        return server


def _behind_tls(arrival: Arrival, tls: Tls, there: ssl.SSLObject) -> Connection:
    shown = there.getpeercert(binary_form=True) if tls.authorities else None
    return Connection(arrival, "https", None if shown is None else ClientCertificate(tls.authorities, shown))


class _Handler(web.RequestHandler):
    """A connection of HTTP/1.1 that knows where it came from."""

    __slots__ = ("connection",)

    connection: Connection

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is no HTTP, without repeating it; strangers write no tracebacks into our log."""
        if not isinstance(exc, HttpProcessingError):
            return super().handle_error(request, status, exc, message)
        logger.info("request of %s: %s", self.connection.arrival.visitor, type(exc).__name__)
        response = web.Response(
            status=problems.BAD_REQUEST.status,
            text=problems.as_text(problems.BAD_REQUEST),
            headers={"Server": SERVER, "X-P2P-Problem": problems.BAD_REQUEST.code},
        )
        response.force_close()
        return response


class _Http1(web.Server):
    """Makes handlers for connections that were accepted already."""

    def __init__(self, handler: Handler) -> None:
        super().__init__(handler, request_factory=_request)

    def __call__(self) -> NoReturn:
        raise NotImplementedError("use handler()")

    def handler(self, connection: Connection) -> _Handler:
        """Make the handler of one connection."""
        options: dict[str, Any] = {
            "keepalive_timeout": KEEP_ALIVE_S,
            "max_line_size": LINE_MAX_BYTES,
            "max_field_size": FIELD_MAX_BYTES,
            "access_log": None,
            "auto_decompress": False,
            "read_bufsize": 1 << 18,
        }
        handler = _Handler(self, loop=asyncio.get_running_loop(), **options)
        handler.connection = connection
        return handler


def _request(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
    # The handler's own loop: asking for the running one is a call to the kernel, for each request.
    state: dict[web.RequestKey[Any] | str, Any] = {CONNECTION: protocol.connection}
    return web.BaseRequest(message, payload, protocol, writer, task, protocol._loop, state=state)
