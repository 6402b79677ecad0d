"""Waiting for an instance, and being told to wait no longer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Patience:
    """What waits for the first word of an answer, and can still go elsewhere.

    Concurrency: one event loop.
    """

    def __init__(self) -> None:
        self._waiting: set[asyncio.Timeout] = set()

    @asynccontextmanager
    async def waiting(self) -> AsyncIterator[None]:
        """Wait inside the block.

        Raises:
            TimeoutError: ``end`` was called meanwhile.
        """
        async with asyncio.timeout(None) as timeout:
            self._waiting.add(timeout)
            try:
                yield
            finally:
                self._waiting.discard(timeout)

    def end(self) -> None:
        """Let nothing that waits now wait any longer."""
        waiting, self._waiting = self._waiting, set()
        for timeout in waiting:
            timeout.reschedule(0.0)
