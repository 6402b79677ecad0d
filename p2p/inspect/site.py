"""The inspector: a web server for this machine only, with a page of what passed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from importlib.resources import files
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

from aiohttp import web

from p2p.address import TransportAddress
from p2p.aio.tasks import TaskScope
from p2p.errors import ConfigError, ErrorCode, ForwardError
from p2p.forward.target import FlowAcceptor
from p2p.inspect import export
from p2p.inspect.acceptor import InspectingAcceptor
from p2p.inspect.recording import Exchange, Recorder
from p2p.inspect.replay import read_changes_untrusted, replay
from p2p.os_errors import reason_of

CODE_LISTEN: Final = ErrorCode("P2P-1507", "Choose another address with --inspect, such as 127.0.0.1:4041.")

_LOCAL_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_OUR_HEADER: Final = "X-P2P-Inspect"
"""Pages of other sites cannot send it without asking first, and are never allowed to."""
_EVENTS_WAITING_MAX: Final = 1000
_STATIC: Final = {
    "/": ("index.html", "text/html"),
    "/inspect.js": ("inspect.js", "text/javascript"),
    "/inspect.css": ("inspect.css", "text/css"),
}
_SECURITY_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; form-action 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Server": "p2p-inspect",
}


class Inspector:
    """Records what passes an exposer, and serves the page inside its ``async with`` block.

    Concurrency: one event loop.

    Args:
        address: Where to serve; a loopback address.
        version: Of the program, for archives.

    Raises:
        ConfigError: The address is not one of this machine only.
    """

    def __init__(self, address: TransportAddress, *, version: str = "") -> None:
        if not address.ip.is_loopback:
            raise ConfigError(f"{address} is reached by others, who would read all that passes", code=CODE_LISTEN)
        self.recorder = Recorder()
        self.address = address
        self._version = version
        self._scope = TaskScope()
        self._stack = AsyncExitStack()
        self._acceptors: dict[str, FlowAcceptor] = {}
        self._pages: set[asyncio.Queue[Exchange | None]] = set()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._scope)
            runner = web.AppRunner(self._application(), access_log=None)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            site = web.TCPSite(runner, self.address.host, self.address.port)
            try:
                await site.start()
            except OSError as error:
                raise ConfigError(
                    f"cannot serve the inspector at {self.address}: {reason_of(error)}", code=CODE_LISTEN
                ) from error
            self.address = TransportAddress(*runner.addresses[0][:2])
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{self.address}"

    def before(self, acceptor: FlowAcceptor) -> FlowAcceptor:
        """Make an acceptor that reads along with all connections that another one makes."""
        return InspectingAcceptor(acceptor, self.recorder, self._scope, used=self._acceptors.__setitem__)

    # --- the web server ----------------------------------------------------------------------------------------

    def _application(self) -> web.Application:
        application = web.Application(middlewares=[_guard])
        application.on_shutdown.append(self._close_pages)
        router = application.router
        for path in _STATIC:
            router.add_get(path, _static)
        router.add_get("/api/exchanges", self._list)
        router.add_delete("/api/exchanges", self._clear)
        router.add_get("/api/exchanges/{number:\\d+}", self._show)
        router.add_post("/api/exchanges/{number:\\d+}/replay", self._replay)
        router.add_get("/api/har", self._har)
        router.add_get("/api/events", self._events)
        return application

    async def _list(self, request: web.Request) -> web.Response:
        return web.json_response([export.summary(exchange) for exchange in self.recorder])

    async def _clear(self, request: web.Request) -> web.Response:
        self.recorder.clear()
        return web.Response(status=204)

    async def _show(self, request: web.Request) -> web.Response:
        return web.json_response(export.details(self._find(request), unmasked=_is_unmasked(request)))

    async def _replay(self, request: web.Request) -> web.Response:
        exchange = self._find(request)
        acceptor = self._acceptors.get(exchange.service)
        if acceptor is None or not exchange.method:
            raise web.HTTPConflict(text="this cannot be sent again\n")
        try:
            changes = read_changes_untrusted(await request.read())
            repeated = await replay(self.recorder, acceptor, exchange, changes)
        except ForwardError as error:
            raise web.HTTPBadGateway(text=f"{error.detail}\n") from error
        return web.json_response(export.summary(repeated))

    async def _har(self, request: web.Request) -> web.Response:
        archive = export.har(list(self.recorder), version=self._version, unmasked=_is_unmasked(request))
        return web.json_response(archive, headers={"Content-Disposition": 'attachment; filename="p2p.har"'})

    async def _events(self, request: web.Request) -> web.StreamResponse:
        """Tell of each exchange that is new or has changed, for as long as the page is open."""
        waiting: asyncio.Queue[Exchange | None] = asyncio.Queue(_EVENTS_WAITING_MAX)

        def tell(exchange: Exchange) -> None:
            # A page that does not read misses news; it asks for the list when it is shown again.
            if not waiting.full():
                waiting.put_nowait(exchange)

        response = web.StreamResponse(headers={**_SECURITY_HEADERS, "Content-Type": "text/event-stream"})
        await response.prepare(request)
        self.recorder.listeners.add(tell)
        self._pages.add(waiting)
        try:
            while exchange := await waiting.get():
                await response.write(f"data: {json.dumps(export.summary(exchange))}\n\n".encode())
        except ConnectionError:
            pass  # the page was closed
        finally:
            self.recorder.listeners.discard(tell)
            self._pages.discard(waiting)
        return response

    async def _close_pages(self, application: web.Application) -> None:
        """Let go of the pages that follow; they would hold up the end for as long as they are open."""
        for waiting in self._pages:
            while waiting.full():
                waiting.get_nowait()
            waiting.put_nowait(None)

    def _find(self, request: web.Request) -> Exchange:
        exchange = self.recorder.find(int(request.match_info["number"]))
        if exchange is None:
            raise web.HTTPNotFound(text="it is no longer kept\n")
        return exchange


@web.middleware
async def _guard(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Keep pages of other sites out: by the host that they asked for (DNS rebinding), and by a header of ours."""
    if _host(request) not in _LOCAL_NAMES:
        raise web.HTTPForbidden(text="ask for it by a name of this machine\n")
    if request.method not in ("GET", "HEAD") and request.headers.get(_OUR_HEADER) != "1":
        raise web.HTTPForbidden(text=f"the header {_OUR_HEADER} is missing\n")
    response = await handler(request)
    if not response.prepared:
        response.headers.update(_SECURITY_HEADERS)
    return response


def _host(request: web.Request) -> str:
    try:
        return urlsplit(f"//{request.headers.get('Host', '')}").hostname or ""
    except ValueError:
        return ""


async def _static(request: web.Request) -> web.Response:
    name, kind = _STATIC[request.path]
    text = files("p2p.inspect").joinpath("page", name).read_text(encoding="utf-8")
    return web.Response(text=text, content_type=kind, charset="utf-8")


def _is_unmasked(request: web.Request) -> bool:
    return request.query.get("unmasked") == "1"
