"""How a session ends without losing anything: what both sides have said about it, and who waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Drainage:
    """The state of an orderly end: which side drains, and whether the other one has finished."""

    def __init__(self) -> None:
        self.is_ours = False
        """Whether this side has asked for it."""
        self.is_peers = False
        """Whether the other side has."""
        self.is_peer_drained = False
        """Whether the other side's last flow has ended."""
        self._news = asyncio.Event()

    @property
    def is_under_way(self) -> bool:
        """Whether no new flow may be opened."""
        return self.is_ours or self.is_peers

    def tell(self) -> None:
        """Have ``wait`` look again."""
        self._news.set()

    async def wait(self, is_over: Callable[[], bool], timeout_s: float) -> bool:
        """Wait for the end.

        Args:
            is_over: Tells whether there is nothing left to wait for.
            timeout_s: How long to wait.

        Returns:
            Whether it came in time.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while not is_over():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return False
        return True
