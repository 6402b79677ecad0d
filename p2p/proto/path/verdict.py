"""When the checks count as over without a direct path."""

from __future__ import annotations

from p2p import defaults
from p2p.proto.path.reason import NatFacts, plain_checks_can_succeed


class Verdict:
    """Makes sure that "no direct path has come of it" is said once, and in time."""

    def __init__(self) -> None:
        self._local_facts = NatFacts()
        self._remote_facts = NatFacts()
        self._started_at: float | None = None
        self._pronounced = False
        self._is_held = self._is_due = False

    def set_facts(self, local: NatFacts, remote: NatFacts) -> None:
        """Learn how both NATs behave."""
        self._local_facts, self._remote_facts = local, remote

    def hold(self, *, held: bool) -> None:
        """Wait with it, or no longer, while something beyond plain checks is tried."""
        self._is_held = held

    def started(self, now: float) -> bool:
        """Note that checks are sent.

        Returns:
            Whether these are the first ones.
        """
        if self._started_at is not None:
            return False
        self._started_at = now
        return True

    def due_at(self, now: float) -> float | None:
        """When it must be said, None while there is hope: checks may be known not to get through, or be over already.

        Args:
            now: The monotonic time.
        """
        if self._pronounced or self._is_held or self._started_at is None:
            return None
        if self._is_due:
            return now
        if plain_checks_can_succeed(self._local_facts, self._remote_facts) is not False:
            return None
        return self._started_at + defaults.PATH_HOPELESS_S

    def pronounce(self) -> bool:
        """Ask whether it must be said now: only the first time, and not while it is held."""
        if self._is_held:
            self._is_due = True
            return False
        pronounced, self._pronounced = self._pronounced, True
        return not pronounced
