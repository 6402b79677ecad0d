"""What a session does while it has no path at all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from p2p.defaults import OUTAGE_SHARE, SESSION_SEEK_S


class Seeking:
    """Asks for a path again and again, ever less often, until there is one.

    Concurrency: one event loop; at most one timer, which ``stop`` cancels.

    Args:
        loop: The event loop.
        ask: Asks the relay for our address there, and the peer whether it knows us.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, ask: Callable[[], object]) -> None:
        self._loop = loop
        self._ask = ask
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, *, after_s: float = 0.0) -> None:
        """Ask until there is a path; nothing happens when this has begun before.

        Args:
            after_s: How long to wait before, in seconds: a path may be back by then without anybody being asked.
        """
        if self._timer is not None:
            return
        now = self._loop.time()
        if after_s:
            self._timer = self._loop.call_at(now + after_s, self._again, now)
        else:
            self._again(now)

    def stop(self) -> None:
        """There is a path, or no session."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _again(self, since: float) -> None:
        self._ask()
        now = self._loop.time()
        self._timer = self._loop.call_at(now + max(SESSION_SEEK_S, OUTAGE_SHARE * (now - since)), self._again, since)
