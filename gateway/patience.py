"""Waiting for an instance, and being told to wait no longer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Patience:
    """What waits for the first word of an answer.

    Concurrency: one event loop.
    """

    def __init__(self) -> None:
        self._waiting: dict[asyncio.Timeout, bool] = {}

    @asynccontextmanager
    async def waiting(self, *, can_move: bool) -> AsyncIterator[None]:
        """Wait inside the block.

        Args:
            can_move: Whether it may be asked for elsewhere.

        Raises:
            TimeoutError: ``end`` was called meanwhile.
        """
        async with asyncio.timeout(None) as timeout:
            self._waiting[timeout] = can_move
            try:
                yield
            finally:
                self._waiting.pop(timeout, None)

    def end(self, *, for_all: bool) -> None:
        """Let what waits now wait no longer.

        Args:
            for_all: Also what cannot be asked for elsewhere.
        """
        for timeout, can_move in list(self._waiting.items()):
            if for_all or can_move:
                del self._waiting[timeout]
                timeout.reschedule(0.0)
