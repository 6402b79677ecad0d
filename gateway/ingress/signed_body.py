"""Bodies that are held in memory until their signature is checked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

BODY_MAX_BYTES: Final = 8 << 20
"""The largest body of a webhook; senders stay below 1 MiB nearly always, and GitHub's largest are refused."""
HELD_MAX_BYTES: Final = 64 << 20
"""All such bodies together: who has not shown a right signature yet can cost no more memory."""
BODY_WITHIN_S: Final = 30.0


class BusyError(Exception):
    """There is no room for another body."""


class SlowError(Exception):
    """A body does not come to its end in time."""


class SignedBodies:
    """Holds bodies, and counts their bytes as they come.

    Concurrency: one event loop.

    Args:
        held_max_bytes: Of all bodies together.
    """

    def __init__(self, held_max_bytes: int = HELD_MAX_BYTES) -> None:
        self._left_bytes = held_max_bytes

    @asynccontextmanager
    async def hold(self, request: web.BaseRequest, largest_bytes: int = 0) -> AsyncIterator[bytes]:
        """Read a body to its end, and hold it for the block.

        Args:
            request: The visitor's.
            largest_bytes: What the service takes at most; 0 sets no limit of its own.

        Raises:
            web.HTTPRequestEntityTooLarge: It is larger.
            BusyError: There is no room.
            SlowError: It does not come to its end.
        """
        largest = min(largest_bytes or BODY_MAX_BYTES, BODY_MAX_BYTES)
        if (request.content_length or 0) > largest:
            raise web.HTTPRequestEntityTooLarge(max_size=largest, actual_size=request.content_length or 0)
        body = bytearray()
        taken = 0
        try:
            try:
                async with asyncio.timeout(BODY_WITHIN_S):
                    async for piece in request.content.iter_any():
                        taken += len(piece)
                        self._left_bytes -= len(piece)
                        if self._left_bytes < 0:
                            raise BusyError
                        if taken > largest:
                            raise web.HTTPRequestEntityTooLarge(max_size=largest, actual_size=taken)
                        body += piece
            except TimeoutError as error:
                raise SlowError from error
            yield bytes(body)
        finally:
            self._left_bytes += taken
