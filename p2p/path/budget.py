"""Limits on what others can make this program send.

A peer names the addresses that we check. Whoever holds a ticket could name a stranger's in every offer, and the checks
of many sessions together would be a flood. Checks on paths that have answered are heartbeats, and cost nothing here.
"""

from __future__ import annotations

from p2p.defaults import CHECKS_UNPROVEN_BURST, CHECKS_UNPROVEN_PER_S


class TokenBudget:
    """A token bucket shared by all sessions of one program; what finds no token is not sent.

    Args:
        per_s: Messages a second in the long run.
        burst: Messages at once.

    Attributes:
        denied: Messages that were not sent.
    """

    __slots__ = ("_at", "_burst", "_per_s", "_tokens", "denied")

    def __init__(self, per_s: float = CHECKS_UNPROVEN_PER_S, burst: float = CHECKS_UNPROVEN_BURST) -> None:
        self.denied = 0
        self._per_s = per_s
        self._burst = burst
        self._tokens = burst
        self._at: float | None = None

    def take(self, now: float) -> bool:
        """Spend a token, if there is one.

        Args:
            now: The monotonic time.

        Returns:
            Whether the message may be sent.
        """
        if self._at is not None and now > self._at:
            self._tokens = min(self._burst, self._tokens + (now - self._at) * self._per_s)
        self._at = now
        if self._tokens < 1:
            self.denied += 1
            return False
        self._tokens -= 1
        return True
