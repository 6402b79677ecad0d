"""Small frames behind an urgent message on TCP: they show its loss a round trip later, not when a timer runs out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from p2p.aio.tasks import TaskScope
from p2p.defaults import CHASER_WAITS_S


class Chaser:
    """Has something sent after each message, which the receiver acknowledges out of order when the message was lost.

    A lost segment that nothing follows is repeated after two round trips and 0.2 s at the least, since its sender
    cannot tell loss from a receiver that delays its acknowledgement. One that something follows is repeated as soon as
    that is acknowledged (RFC 8985 section 6).

    Concurrency: one event loop; at most one task of the scope at a time, for some milliseconds after a message.

    Args:
        tasks: Where the task lives.
        send: Sends a frame that means nothing; a ``ConnectionError`` ends the chase.
    """

    __slots__ = ("_is_running", "_is_wanted", "_send", "_tasks")

    def __init__(self, tasks: TaskScope, send: Callable[[], Awaitable[None]]) -> None:
        self._tasks = tasks
        self._send = send
        self._is_running = self._is_wanted = False

    def sent(self) -> None:
        """A message has been sent. Does nothing when the scope takes no work."""
        self._is_wanted = True
        if not self._is_running and self._tasks.is_open:
            self._is_running = True
            self._tasks.start(self._run(), name="chaser")

    async def _run(self) -> None:
        try:
            while self._is_wanted:
                self._is_wanted = False
                for wait_s in CHASER_WAITS_S:
                    await asyncio.sleep(wait_s)
                    await self._send()
        except ConnectionError:
            pass
        finally:
            self._is_running = False
