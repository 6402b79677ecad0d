"""The body of a visitor's request on its way to the service."""

from __future__ import annotations

from collections.abc import AsyncIterator

from aiohttp import web

from gateway.core.headers import Headers, trailers_for_service
from gateway.ingress.connection import RECORD
from gateway.ingress.h2_body import Body


class RequestBody:
    """A body that is passed on as it comes, or that was read already.

    Args:
        request: The visitor's.
        largest_bytes: What the service takes at most; 0 for any size.
        held: The whole body, if it was read.

    Attributes:
        fault: Why the visitor's side of it broke off, if it did: no instance is to blame then.
    """

    def __init__(self, request: web.BaseRequest, largest_bytes: int, held: bytes | None) -> None:
        self._request = request
        self._largest_bytes = largest_bytes
        self._held = held
        self.fault: Exception | None = None

    async def pieces(self) -> AsyncIterator[bytes]:
        """Read it piece by piece.

        Raises:
            web.HTTPRequestEntityTooLarge: It is larger than the service takes.
        """
        if self._held is not None:
            self._request[RECORD].bytes_in = len(self._held)
            yield self._held
            return
        size = 0
        while piece := await self._next():
            size += len(piece)
            self._request[RECORD].bytes_in = size
            if self._largest_bytes and size > self._largest_bytes:
                self.fault = web.HTTPRequestEntityTooLarge(max_size=self._largest_bytes, actual_size=size)
                raise self.fault
            yield piece

    async def _next(self) -> bytes:
        try:
            return await self._request.content.readany()
        except Exception as error:
            self.fault = error
            raise

    def trailers(self) -> Headers:
        """The fields after it, which the library keeps for HTTP/2 only."""
        content: object = self._request.content
        return trailers_for_service(content.trailers) if isinstance(content, Body) else []
