"""How files come into an inbox over HTTP: whole (PUT), or in parts that can be gone on with (HEAD, PATCH).

=====  ==================  ==================================================================================
PUT    ``/name``           the whole file; with ``Repr-Digest`` it is checked. ``curl -T`` does this
PUT    ``/name/``          a folder
HEAD   ``/name?part=KEY``  how much of a part is there: ``Upload-Offset``; ``Upload-Taken: ?1`` if a file has the name
PATCH  ``/name?part=KEY``  the next piece, at ``Upload-Offset``; the last one, perhaps empty, has ``Repr-Digest`` and
                           ``Upload-Complete: ?1``
=====  ==================  ==================================================================================

Source: the header fields are those of draft-ietf-httpbis-resumable-upload and RFC 9530; the key is ours, since a part
must be found again by who knows nothing but the file.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any, Final

from aiohttp import web

from p2p import defaults
from p2p.errors import DecodeError
from p2p.services.digest import FIELD, parse_digest_untrusted
from p2p.services.inbox import KEY, Arrival, Inbox, WrongDigestError
from p2p.services.tree import names_untrusted

OFFSET_FIELD: Final = "Upload-Offset"
COMPLETE_FIELD: Final = "Upload-Complete"
COMPLETE: Final = "?1"
TAKEN_FIELD: Final = "Upload-Taken"
"""Says that something has the name: then a digest alone, at the part's end, tells whether it is the same."""

_STATUS_WRONG_DIGEST: Final = 422
_KEY_BYTES: Final = 16


class Uploads:
    """Takes files into an inbox.

    Of two connections that write the same part the later one wins: the earlier one belongs to a session that was lost.

    Args:
        inbox: Where they go.
    """

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._writers: dict[str, object] = {}

    async def head(self, request: web.Request) -> web.Response:
        """Tell how much of a part is there."""
        key = _key(request)
        headers = {OFFSET_FIELD: str(await asyncio.to_thread(self._inbox.offset, key))}
        if await _call(self._inbox.is_taken, _names(request)):
            headers[TAKEN_FIELD] = "?1"
        return web.Response(headers=headers)

    async def patch(self, request: web.Request) -> web.Response:
        """Take the next piece of a part."""
        names, key = _names(request), _key(request)
        text = request.headers.get(OFFSET_FIELD, "")
        if not (text.isascii() and text.isdigit()):
            raise web.HTTPBadRequest(text=f"{OFFSET_FIELD} is missing")
        digest = parse_digest_untrusted(request.headers.get(FIELD, ""))
        is_last = request.headers.get(COMPLETE_FIELD) == COMPLETE
        if is_last and digest is None:
            raise web.HTTPBadRequest(text=f"{FIELD} with sha-256 is missing")
        self._writers[key] = writer = object()
        try:
            there = await asyncio.to_thread(self._inbox.offset, key)
            if int(text) != there:
                return web.Response(status=409, headers={OFFSET_FIELD: str(there)}, text="the part is not so long")
            await _call(self._inbox.check, names)
            offset = await self._take(request, key, there, lambda: self._writers.get(key) is writer)
            if not is_last:
                return web.Response(status=204, headers={OFFSET_FIELD: str(offset)})
            assert digest is not None
            return await self._finish(request, key, names, digest)
        finally:
            if self._writers.get(key) is writer:
                del self._writers[key]

    async def put(self, request: web.Request) -> web.Response:
        """Take a whole file, or make a folder."""
        names = _names(request)
        if request.path.endswith("/"):
            await _call(self._inbox.make_folder, names)
            return web.Response(status=201)
        await _call(self._inbox.check, names)
        wanted = parse_digest_untrusted(request.headers.get(FIELD, ""))
        key = os.urandom(_KEY_BYTES).hex()
        sha256 = hashlib.sha256()
        try:
            await self._take(request, key, 0, lambda: True, sha256.update)
            return await self._finish(request, key, names, wanted or sha256.digest())
        finally:
            await asyncio.to_thread(self._inbox.drop, key)

    async def _take(
        self,
        request: web.Request,
        key: str,
        offset: int,
        is_ours: Callable[[], bool],
        watch: Callable[[bytearray], object] = lambda _: None,
    ) -> int:
        """Write what comes; what has come before the connection broke is kept."""
        pieces = bytearray()

        async def write(data: bytearray) -> int:
            if not is_ours():
                raise web.HTTPConflict(text="another connection goes on with this part")
            await _call(self._inbox.write, key, offset, data)
            await asyncio.to_thread(watch, data)
            return offset + len(data)

        try:
            async for piece in request.content.iter_any():
                pieces += piece
                if len(pieces) >= defaults.FILES_WRITE_BYTES:
                    whole, pieces = pieces, bytearray()
                    offset = await write(whole)
        finally:
            if pieces:
                offset = await write(pieces)
        return offset

    async def _finish(self, request: web.Request, key: str, names: tuple[str, ...], digest: bytes) -> web.Response:
        modified_wall: float | None
        try:
            modified_wall = parsedate_to_datetime(request.headers.get("Last-Modified", "")).timestamp()
        except (ValueError, OverflowError):
            modified_wall = None
        try:
            arrival = await _call(self._inbox.finish, key, names, digest, modified_wall)
        except WrongDigestError:
            return web.Response(status=_STATUS_WRONG_DIGEST, text="what arrived is not what was sent: send it again")
        return web.Response(status=201 if arrival is Arrival.NEW else 200)


def _key(request: web.Request) -> str:
    key = request.query.get("part", "")
    if not KEY.fullmatch(key):
        raise web.HTTPBadRequest(text="the key of the part is missing")
    return key


def _names(request: web.Request) -> tuple[str, ...]:
    try:
        return names_untrusted(request.rel_url.raw_path)
    except DecodeError as error:
        raise web.HTTPForbidden(text=error.detail) from error


async def _call(function: Callable[..., Any], *arguments: Any) -> Any:
    """Do something with the inbox in a thread, and answer with what went wrong."""
    try:
        return await asyncio.to_thread(function, *arguments)
    except FileExistsError as error:
        raise web.HTTPConflict(text=error.strerror or "another file has that name") from error
    except PermissionError as error:
        raise web.HTTPForbidden(text=error.strerror or "not permitted") from error
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise web.HTTPInsufficientStorage(text="no room for more") from error
        if error.errno in {errno.ENOTDIR, errno.ELOOP}:
            raise web.HTTPConflict(text="a file or a link is in the way") from error
        raise
