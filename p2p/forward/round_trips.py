"""Who waits for the answer to which ping."""

from __future__ import annotations

import asyncio

from p2p.errors import P2PError


class RoundTrips:
    """The pings of a session, answered in the order in which they were asked.

    Args:
        loop: The event loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.last_s: float | None = None
        """The round trip that was measured last."""
        self._loop = loop
        self._waiters: list[asyncio.Future[float]] = []

    async def next(self) -> float:
        """Wait for the answer to a ping that was just queued.

        Returns:
            Seconds.

        Raises:
            P2PError: The session ended meanwhile.
        """
        waiter: asyncio.Future[float] = self._loop.create_future()
        self._waiters.append(waiter)
        return await waiter

    def measured(self, rtt_s: float) -> None:
        """Answer whoever waits for longest."""
        self.last_s = rtt_s
        if self._waiters and not (waiter := self._waiters.pop(0)).done():
            waiter.set_result(rtt_s)

    def close(self, error: P2PError) -> None:
        """Tell all who wait that no answer comes."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(error)
