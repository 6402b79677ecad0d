"""Tasks that wait for something to change."""

from __future__ import annotations

import asyncio


class Waiters:
    """Wakes all who wait, once each time; what has changed they look up themselves.

    Concurrency: one event loop.
    """

    def __init__(self) -> None:
        self._futures: list[asyncio.Future[None]] = []

    async def wait(self) -> None:
        """Wait for the next ``wake``."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._futures.append(future)
        await future

    def wake(self) -> None:
        """Wake all."""
        futures, self._futures = self._futures, []
        for future in futures:
            if not future.done():
                future.set_result(None)
