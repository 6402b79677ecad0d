"""A session's first packets, sent twice: who lost one of these would wait for a timer that knows nothing yet."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from p2p.aio.timer import LazyTimer
from p2p.defaults import REPEAT_AFTER_S, REPEATED_PACKETS


class Repeats:
    """Sends packets once more, a moment later, until there have been as many as a session takes to open.

    A tail of one packet has nothing behind it that would show its loss, so it costs QUIC's probe timeout: a second
    before the round trip is known, three round trips after that. The receiver drops the copy of what it has.

    Concurrency: one event loop, no task; one timer of the loop, gone after ``close``.

    Args:
        loop: The event loop.
        send: Sends packets again, over the paths of that moment.
    """

    __slots__ = ("_left", "_loop", "_send", "_timer", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop, send: Callable[[Sequence[bytes]], object]) -> None:
        self._loop = loop
        self._send = send
        self._left = REPEATED_PACKETS
        self._waiting: deque[tuple[float, Sequence[bytes]]] = deque()
        self._timer = LazyTimer(loop, self._fire)

    @property
    def are_over(self) -> bool:
        """Whether no more packets will be repeated."""
        return self._left == 0

    def put(self, packets: Sequence[bytes]) -> None:
        """Note packets that have just been sent."""
        packets = packets[: self._left]
        if not packets:
            return
        self._left -= len(packets)
        self._waiting.append((self._loop.time() + REPEAT_AFTER_S, packets))
        self._arm()

    def close(self) -> None:
        """Stop; nothing stays with the loop."""
        self._left = 0
        self._waiting.clear()
        self._timer.cancel()

    def _fire(self, now: float) -> None:
        while self._waiting and self._waiting[0][0] <= now:
            self._send(self._waiting.popleft()[1])
        self._arm()

    def _arm(self) -> None:
        self._timer.set(self._waiting[0][0] if self._waiting else None)
