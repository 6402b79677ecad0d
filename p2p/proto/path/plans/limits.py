"""How many birthdays one program may have, and how soon after one that failed."""

from __future__ import annotations

from p2p.defaults import BIRTHDAY_COOLDOWN_S, BIRTHDAYS_AT_ONCE

_REMEMBERED = 1024


class BirthdayLimits:
    """Shared by all sessions of one program.

    Attributes:
        refused: Birthdays that were not allowed.
    """

    def __init__(self) -> None:
        self.refused = 0
        self._running = 0
        self._failed_at: dict[str, float] = {}

    def begin(self, network: str, now: float) -> bool:
        """Ask for one.

        Args:
            network: The peer's outside IP address.
            now: The monotonic time.

        Returns:
            Whether it is allowed; then ``end`` must follow.
        """
        failed_at = self._failed_at.get(network)
        is_cooling = failed_at is not None and now < failed_at + BIRTHDAY_COOLDOWN_S
        if is_cooling or self._running >= BIRTHDAYS_AT_ONCE:
            self.refused += 1
            return False
        self._running += 1
        return True

    def end(self, network: str, now: float, *, failed: bool) -> None:
        """Note the end of one that was allowed."""
        self._running -= 1
        self._failed_at.pop(network, None)
        if failed:
            if len(self._failed_at) >= _REMEMBERED:
                del self._failed_at[next(iter(self._failed_at))]
            self._failed_at[network] = now
