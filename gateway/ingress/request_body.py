"""The body of a visitor's request on its way to the service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from aiohttp import web

from gateway.core.headers import Headers, trailers_for_service
from gateway.ingress.connection import RECORD
from gateway.ingress.h2_body import Body
from gateway.ingress.signed_body import SlowError

BODY_SILENT_S: Final = 300.0
"""How long a visitor may be silent in the middle of a body; as long as a service may be silent."""


class RequestBody:
    """A body that is passed on as it comes, or that was read already.

    Args:
        request: The visitor's.
        largest_bytes: What the service takes at most; 0 for any size.
        held: The whole body, if it was read.
        silent_max_s: How long the visitor may send nothing in the middle of it; None for as long as it likes.

    Attributes:
        fault: Why the visitor's side of it broke off, if it did: no instance is to blame then.
    """

    def __init__(
        self, request: web.BaseRequest, largest_bytes: int, held: bytes | None, silent_max_s: float | None
    ) -> None:
        self._request = request
        self._largest_bytes = largest_bytes
        self._held = held
        self._silent_max_s = silent_max_s
        self.fault: Exception | None = None

    async def pieces(self) -> AsyncIterator[bytes]:
        """Read it piece by piece.

        Raises:
            web.HTTPRequestEntityTooLarge: It is larger than the service takes.
            SlowError: The visitor is silent.
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
            async with asyncio.timeout(self._silent_max_s):
                return await self._request.content.readany()
        except TimeoutError:
            self.fault = SlowError()
            raise self.fault from None
        except Exception as error:
            self.fault = error
            raise

    def trailers(self) -> Headers:
        """The fields after it, which the library keeps for HTTP/2 only."""
        content: object = self._request.content
        return trailers_for_service(content.trailers) if isinstance(content, Body) else []
