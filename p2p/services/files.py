"""Folders as a service: HTTP/1.1 inside this process, without a port of its own."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import socket
import stat
import weakref
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.web_request import BaseRequest

from p2p import defaults
from p2p.aio.pair import stream_pair
from p2p.aio.tasks import TaskScope
from p2p.errors import DecodeError
from p2p.services import page
from p2p.services.digest import FIELD, WANTED_FIELD, format_digest
from p2p.services.inbox import Inbox
from p2p.services.tree import Tree, names_untrusted
from p2p.services.uploads import Uploads

logger = logging.getLogger(__name__)

_INDEX: Final = "index.html"
_SAFE_PAGE: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""For pages of ours: they need no script, and a file's name must never become one."""


class FileService:
    """Serves a folder to read, and takes files into another one, on connections inside this process.

    Concurrency: one event loop; from the beginning of its ``async with`` block to the end.

    Args:
        root: The folder to read; None shows nothing.
        inbox: The folder that files are put into; None takes none.
        title: What pages call the folder to read.
        hidden: Whether names that begin with a dot are shown, served and taken.
        max_connections: At once, of all peers together.
    """

    def __init__(
        self,
        root: Path | None,
        *,
        inbox: Path | None = None,
        title: str = "",
        hidden: bool = False,
        max_connections: int = defaults.FILES_CONNECTIONS_MAX,
    ) -> None:
        self._tree = None if root is None else Tree(root, hidden=hidden)
        self._inbox = None if inbox is None else Inbox(inbox, hidden=hidden)
        self._title = title or ("" if self._tree is None else os.path.basename(self._tree.root) or "/")
        self._max_connections = max_connections
        self._scope = TaskScope()
        self._starting: set[socket.socket] = set()
        """Connections whose task has not begun: it may be cancelled before it does."""
        app = web.Application()
        app.router.add_get("/{path:.*}", self._get)
        if self._inbox is not None:
            self._uploads = Uploads(self._inbox)
            app.router.add_put("/{path:.*}", self._uploads.put)
            app.router.add_patch("/{path:.*}", self._uploads.patch)
        app.on_response_prepare.append(_sign)
        self._runner = web.AppRunner(
            app,
            access_log=None,
            keepalive_timeout=defaults.FILES_KEEPALIVE_S,
            shutdown_timeout=defaults.FILES_SHUTDOWN_S,
        )

    async def __aenter__(self) -> Self:
        if self._inbox is not None:
            await asyncio.to_thread(self._inbox.drop_old)
        await self._scope.__aenter__()
        await self._runner.setup()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._scope.__aexit__(None, None, None)
        for sock in self._starting:
            sock.close()
        await self._runner.cleanup()

    def connect(self) -> socket.socket | None:
        """Begin to serve one more connection.

        Returns:
            The other end of it, or None while there are too many.
        """
        server = self._runner.server
        if server is None or len(server.connections) >= self._max_connections:
            return None
        ours, theirs = stream_pair()
        self._starting.add(ours)
        self._scope.start(self._serve(ours), name="folder")
        return theirs

    async def _serve(self, sock: socket.socket) -> None:
        assert self._runner.server is not None
        await asyncio.get_running_loop().connect_accepted_socket(self._runner.server, sock)
        self._starting.remove(sock)

    # --- requests ----------------------------------------------------------------------------------------------

    async def _get(self, request: web.Request) -> web.StreamResponse:
        if self._inbox is not None and request.method == "HEAD" and "part" in request.query:
            return await self._uploads.head(request)
        try:
            names = names_untrusted(request.rel_url.raw_path)
            if self._tree is None:
                return _drop_box(names)
            descriptor, found = await asyncio.to_thread(self._tree.open_untrusted, names)
        except (OSError, DecodeError) as error:
            return _refusal(error)
        if not stat.S_ISDIR(found.st_mode):
            return await _file_response(request, descriptor, names[-1])
        os.close(descriptor)
        if not request.path.endswith("/"):
            raise web.HTTPMovedPermanently(f"./{request.rel_url.raw_name}/")
        return await self._folder(self._tree, request, names)

    async def _folder(self, tree: Tree, request: web.Request, names: tuple[str, ...]) -> web.StreamResponse:
        wants_json = "application/json" in request.headers.get("Accept", "")
        if not wants_json:
            with contextlib.suppress(OSError):
                descriptor, found = await asyncio.to_thread(tree.open_untrusted, (*names, _INDEX))
                if stat.S_ISREG(found.st_mode):
                    return await _file_response(request, descriptor, _INDEX)
                os.close(descriptor)
        try:
            entries, hidden = await asyncio.to_thread(tree.entries, names)
        except OSError as error:
            return _refusal(error)
        headers = {"Cache-Control": "no-cache", "Vary": "Accept"}
        if wants_json:
            return web.json_response(page.listing_json(entries, hidden), headers=headers)
        headers["Content-Security-Policy"] = _SAFE_PAGE
        text = page.listing_html(self._title, names, entries, hidden)
        return web.Response(text=text, content_type="text/html", headers=headers)


class _FileResponse(web.FileResponse):
    """Sends a file or the range that was asked for: the very one that was found, whatever has its name by now.

    Args:
        descriptor: The file; it belongs to the response.
        headers: Header fields.
    """

    def __init__(self, descriptor: int, headers: dict[str, str]) -> None:
        super().__init__(f"/proc/self/fd/{descriptor}", chunk_size=defaults.FILES_CHUNK_BYTES, headers=headers)
        self._close = weakref.finalize(self, os.close, descriptor)

    async def prepare(self, request: BaseRequest) -> AbstractStreamWriter | None:
        """See ``web.FileResponse``: it sends the file from here."""
        try:
            return await super().prepare(request)
        finally:
            self._close()


async def _file_response(request: web.Request, descriptor: int, name: str) -> _FileResponse:
    """Make an answer of a file, whose descriptor belongs to it from here on."""
    headers = {"Content-Type": page.content_type(name), "Cache-Control": "no-cache"}
    response = _FileResponse(descriptor, headers)
    if "sha-256" in request.headers.get(WANTED_FIELD, ""):
        response.headers[FIELD] = format_digest(await asyncio.to_thread(_digest, descriptor))
    return response


def _digest(descriptor: int) -> bytes:
    with open(descriptor, "rb", closefd=False) as file:
        return hashlib.file_digest(file, "sha256").digest()


def _drop_box(names: tuple[str, ...]) -> web.Response:
    if names:
        return _refusal(FileNotFoundError())
    text = "Files can be put here with `p2p cp FILE TICKET:`, or with `curl -T FILE` and this address. None is shown."
    return _message(200, "This peer takes files", text)


async def _sign(request: web.Request, response: web.StreamResponse) -> None:
    """Say no more of ourselves than needed, and keep browsers from guessing what a file is."""
    response.headers["Server"] = "p2p"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"


def _refusal(error: OSError | DecodeError) -> web.Response:
    """Answer with a page that says what is wrong, and nothing of where the folder is."""
    if isinstance(error, PermissionError):
        status, heading, text = 403, "Not readable", "The exposing side may not read this itself."
    elif isinstance(error, FileNotFoundError | NotADirectoryError | DecodeError):
        status, heading, text = 404, "Not found", "There is nothing of that name in this folder."
    else:
        logger.info("a request failed: %s", error)
        status, heading, text = 500, "Not readable", "The exposing side cannot read this now."
    return _message(status, heading, text)


def _message(status: int, heading: str, text: str) -> web.Response:
    return web.Response(
        status=status,
        text=page.message_html(heading, text),
        content_type="text/html",
        headers={"Content-Security-Policy": _SAFE_PAGE},
    )
