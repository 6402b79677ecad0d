"""How long to wait before the next attempt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from p2p.defaults import SIGNALLING_BACKOFF_MAX_S, SIGNALLING_BACKOFF_MIN_S

_DOUBLINGS_MAX: Final = 16


class Backoff:
    """Exponential backoff with full jitter: the clients of a server that went down do not come back in step.

    Args:
        random_share: Random numbers from 0 to 1.
    """

    def __init__(self, random_share: Callable[[], float]) -> None:
        self._random_share = random_share
        self._attempts = 0

    def next_wait_s(self) -> float:
        """The next wait; each may be up to twice as long as the one before."""
        longest_s = min(SIGNALLING_BACKOFF_MAX_S, SIGNALLING_BACKOFF_MIN_S * 2.0 ** min(self._attempts, _DOUBLINGS_MAX))
        self._attempts += 1
        return longest_s * self._random_share()

    def reset(self) -> None:
        """Begin again with short waits."""
        self._attempts = 0
