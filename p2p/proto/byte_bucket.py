"""A limit on bytes a second, for traffic that can wait: one takes what there is, or is told when there is more."""

from __future__ import annotations


class ByteBucket:
    """Hands out ``bytes_per_s`` in the long run, and ``burst_bytes`` at once after a pause.

    Args:
        bytes_per_s: How many bytes may pass in a second.
        burst_bytes: How many may pass at once.
    """

    __slots__ = ("_burst_bytes", "_bytes_per_s", "_tokens", "_updated_at")

    def __init__(self, bytes_per_s: float, burst_bytes: float) -> None:
        self._bytes_per_s = bytes_per_s
        self._burst_bytes = burst_bytes
        self._tokens = burst_bytes
        self._updated_at: float | None = None

    def draw(self, wanted_bytes: int, now: float) -> int:
        """Take as many bytes as there are, up to those wanted.

        Args:
            wanted_bytes: The most to take.
            now: The monotonic time.
        """
        self._update(now)
        drawn = max(0, min(wanted_bytes, int(self._tokens)))
        self._tokens -= drawn
        return drawn

    def refund(self, unused_bytes: int) -> None:
        """Give back what was drawn and not used."""
        self._tokens = min(self._burst_bytes, self._tokens + unused_bytes)

    def ready_at(self, wanted_bytes: int, now: float) -> float:
        """Tell when so many bytes can be drawn, if nobody draws meanwhile.

        Args:
            wanted_bytes: At most the burst.
            now: The monotonic time.

        Returns:
            An instant; ``now`` if that is at once.
        """
        self._update(now)
        return now + max(0.0, wanted_bytes - self._tokens) / self._bytes_per_s

    def _update(self, now: float) -> None:
        if self._updated_at is not None and now > self._updated_at:
            self._tokens = min(self._burst_bytes, self._tokens + (now - self._updated_at) * self._bytes_per_s)
        self._updated_at = now if self._updated_at is None else max(now, self._updated_at)
