"""How much one program, and one host, may guess: packets, plans at a time, rest after one that failed."""

from __future__ import annotations

from enum import Enum, StrEnum, auto
from typing import Final, Protocol

from p2p.defaults import (
    BIRTHDAY_COOLDOWN_S,
    BIRTHDAYS_AT_ONCE,
    GUESSES_BURST,
    GUESSES_PER_S,
    MEETINGS_AT_ONCE,
    WINDOWS_AT_ONCE,
)
from p2p.proto.token_bucket import TokenBucket

_REMEMBERED = 1024


class Turn(Enum):
    """What becomes of the wish for a birthday, a window or a meeting."""

    GRANTED = auto()
    """It may begin; its end must be told."""
    WAIT = auto()
    """Others have theirs now: ask again."""
    REFUSED = auto()
    """One with the same network failed a short time ago."""


class Scarce(StrEnum):
    """Plans of which there may only be a few at a time."""

    BIRTHDAY = "birthday"
    WINDOW = "window"
    MEETING = "meeting"

    @property
    def at_once(self) -> int:
        """How many one program may have, and all programs of one user on one host together."""
        return _AT_ONCE[self]


_AT_ONCE: Final = {
    Scarce.BIRTHDAY: BIRTHDAYS_AT_ONCE,
    Scarce.WINDOW: WINDOWS_AT_ONCE,
    Scarce.MEETING: MEETINGS_AT_ONCE,
}


class Slots(Protocol):
    """What several programs on one host share."""

    def take(self, what: Scarce) -> object | None:
        """Take a slot, which ``give_back`` returns; None when all are taken."""
        ...

    def give_back(self, slot: object) -> None:
        """Return a slot."""
        ...


class _Queue:
    """Turns in the order of the first asking."""

    def __init__(self, what: Scarce, slots: Slots | None) -> None:
        self._what = what
        self._slots = slots
        self.held: dict[object, object | None] = {}
        self._waiting: dict[object, None] = {}

    def ask(self, who: object) -> Turn:
        if who in self.held:
            return Turn.GRANTED
        self._waiting[who] = None
        if len(self.held) >= self._what.at_once or next(iter(self._waiting)) is not who:
            return Turn.WAIT
        slot = None if self._slots is None else self._slots.take(self._what)
        if self._slots is not None and slot is None:
            return Turn.WAIT
        del self._waiting[who]
        self.held[who] = slot
        return Turn.GRANTED

    def leave(self, who: object) -> bool:
        self._waiting.pop(who, None)
        if who not in self.held:
            return False
        slot = self.held.pop(who)
        if self._slots is not None and slot is not None:
            self._slots.give_back(slot)
        return True


class GuessLimits:
    """Shared by all sessions of one program.

    Args:
        slots: What this program shares with the others on this host; None when it shares nothing.

    Attributes:
        packets: The budget of guesses; a plan that finds it empty waits.
        refused: Birthdays that were not allowed because of a recent failure.
    """

    def __init__(self, slots: Slots | None = None) -> None:
        self.packets = TokenBucket(GUESSES_PER_S, GUESSES_BURST)
        self.refused = 0
        self._queues = {what: _Queue(what, slots) for what in Scarce}
        self._networks: dict[object, str] = {}
        self._failed_at: dict[str, float] = {}

    def begin_birthday(self, who: object, network: str, now: float) -> Turn:
        """Ask for a birthday, or ask again.

        Args:
            who: Who asks: holds one at most, and calls ``leave`` when it no longer wants one.
            network: The peer's outside IP address.
            now: The monotonic time.
        """
        failed_at = self._failed_at.get(network)
        if failed_at is not None and now < failed_at + BIRTHDAY_COOLDOWN_S:
            self._queues[Scarce.BIRTHDAY].leave(who)
            self.refused += 1
            return Turn.REFUSED
        self._networks[who] = network
        return self._queues[Scarce.BIRTHDAY].ask(who)

    def begin_meeting(self, who: object) -> Turn:
        """Ask for a meeting, or ask again: two at a time through one NAT would spoil each other's prediction.

        Args:
            who: See ``begin_birthday``.
        """
        return self._queues[Scarce.MEETING].ask(who)

    def begin_window(self, who: object) -> Turn:
        """Ask for a window, or ask again.

        Args:
            who: See ``begin_birthday``.
        """
        return self._queues[Scarce.WINDOW].ask(who)

    def leave(self, who: object, now: float, *, failed: bool = False) -> None:
        """Note the end of what was begun, or that it is no longer wanted; without either nothing happens.

        Args:
            who: Who asked.
            now: The monotonic time.
            failed: Whether it did all it could, in vain.
        """
        self._queues[Scarce.MEETING].leave(who)
        self._queues[Scarce.WINDOW].leave(who)
        network = self._networks.pop(who, None)
        if not self._queues[Scarce.BIRTHDAY].leave(who) or network is None:
            return
        self._failed_at.pop(network, None)
        if failed:
            if len(self._failed_at) >= _REMEMBERED:
                del self._failed_at[next(iter(self._failed_at))]
            self._failed_at[network] = now
