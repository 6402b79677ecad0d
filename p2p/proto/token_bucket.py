"""A limit on how often something may happen, with room for bursts."""

from __future__ import annotations


class TokenBucket:
    """Lets ``burst`` events through at once and ``rate_per_s`` in the long run; what finds no token must not happen.

    Args:
        rate_per_s: How many tokens come back a second.
        burst: How many tokens there are at most, and at first.

    Attributes:
        denied: Events that found too few tokens.
    """

    __slots__ = ("_burst", "_rate_per_s", "_tokens", "_updated_at", "denied")

    def __init__(self, rate_per_s: float, burst: float) -> None:
        self.denied = 0
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._tokens = burst
        self._updated_at: float | None = None

    def take(self, now: float, cost: float = 1.0) -> bool:
        """Take tokens if there are enough; otherwise none is taken.

        Args:
            now: The monotonic time.
            cost: How many tokens.

        Returns:
            Whether the event may happen.
        """
        if self._updated_at is None:
            self._updated_at = now
        elif now > self._updated_at:
            self._tokens = min(self._burst, self._tokens + (now - self._updated_at) * self._rate_per_s)
            self._updated_at = now
        if self._tokens < cost:
            self.denied += 1
            return False
        self._tokens -= cost
        return True
