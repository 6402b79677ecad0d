"""The queue of unreliable datagrams in front of an engine.

Neither library bounds what it queues, and one of them sends datagrams past its congestion control. So they wait here,
are let go only while the congestion window has room, and the oldest are dropped: a late datagram is worth nothing.
"""

from __future__ import annotations

from collections import deque

from p2p.defaults import QUIC_DATAGRAM_MAX_AGE_S, QUIC_DATAGRAM_QUEUE
from p2p.quic.engine import EngineConnection


class DatagramQueue:
    """A bounded queue that drops by age.

    Args:
        max_datagrams: How many may wait; one more drops the oldest.
        max_age_s: How long one may wait.
    """

    __slots__ = ("_max_age_s", "_max_datagrams", "_queue", "dropped")

    def __init__(self, max_datagrams: int = QUIC_DATAGRAM_QUEUE, max_age_s: float = QUIC_DATAGRAM_MAX_AGE_S) -> None:
        self._max_datagrams = max_datagrams
        self._max_age_s = max_age_s
        self._queue: deque[tuple[float, bytes]] = deque()
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._queue)

    def push(self, data: bytes, now: float) -> None:
        """Add a datagram, at the cost of the oldest when the queue is full."""
        if len(self._queue) >= self._max_datagrams:
            self._queue.popleft()
            self.dropped += 1
        self._queue.append((now + self._max_age_s, data))

    def release(self, engine: EngineConnection, now: float) -> None:
        """Give the engine as many datagrams as may be in flight now."""
        queue = self._queue
        while queue and queue[0][0] < now:
            queue.popleft()
            self.dropped += 1
        if not queue:
            return
        room = engine.congestion_room_bytes
        max_bytes = engine.max_datagram_payload
        while queue and room > 0:
            data = queue.popleft()[1]
            if len(data) > max_bytes:  # packets have become smaller while it waited
                self.dropped += 1
                continue
            engine.send_datagram(data)
            room -= len(data)

    def clear(self) -> None:
        """Forget what waits: the connection is over."""
        self._queue.clear()
