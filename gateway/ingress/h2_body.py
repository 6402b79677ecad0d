"""The body of an HTTP/2 message while it comes: read at the reader's pace, which is all the sender may send."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

from gateway.core.headers import Headers


class Body:
    """What came of a body and was not read yet.

    It has no limit of its own: the sender may send what flow control lets it, and that grows as bytes are read.
    Has the methods that aiohttp asks of the body of a request.

    Concurrency: one event loop, one reader.

    Args:
        taken: Told how many bytes of flow control were read.

    Attributes:
        trailers: The fields after the body; complete at its end.
    """

    def __init__(self, taken: Callable[[int], None]) -> None:
        self.trailers: Headers = []
        self._taken = taken
        self._pieces: deque[tuple[bytes, int]] = deque()
        self._is_over = False
        self._error: BaseException | None = None
        self._waiter: asyncio.Future[None] | None = None

    def feed(self, piece: bytes, cost_bytes: int) -> None:
        """Take a piece that came.

        Args:
            piece: Its bytes.
            cost_bytes: What it took of flow control, padding included.
        """
        self._pieces.append((piece, cost_bytes))
        self._wake()

    def feed_eof(self) -> None:
        """Nothing more comes."""
        self._is_over = True
        self._wake()

    def set_exception(self, error: BaseException, cause: BaseException | None = None) -> None:
        """It breaks off: whoever reads is told so, after what came before."""
        if not self._is_over and self._error is None:
            self._error = error
            self._error.__cause__ = cause
            self._wake()

    def at_eof(self) -> bool:
        """Whether it was read to its end."""
        return self._is_over and not self._pieces

    def drop(self) -> int:
        """Throw away what was not read.

        Returns:
            How many bytes of flow control that was.
        """
        cost = sum(cost for _, cost in self._pieces)
        self._pieces.clear()
        return cost

    async def readany(self) -> bytes:
        """Read what there is, and wait until there is something; nothing is the end.

        Raises:
            Exception: It broke off.
        """
        while not self._pieces:
            if self._error is not None:
                raise self._error
            if self._is_over:
                return b""
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        data = b"".join(piece for piece, _ in self._pieces)
        self._taken(self.drop())
        return data or await self.readany()

    async def iter_any(self) -> AsyncIterator[bytes]:
        """Read it piece by piece.

        Raises:
            Exception: It broke off.
        """
        while piece := await self.readany():
            yield piece

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
