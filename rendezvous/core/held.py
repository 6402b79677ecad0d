"""Answers to knocks, held until whoever has knocked has logged in."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from p2p.defaults import KNOCK_HELD_BYTES, KNOCK_HELD_BYTES_EACH, KNOCK_HELD_MESSAGES, KNOCK_HOLD_S
from rendezvous.core.registry import Seat


@dataclass(slots=True)
class _Slot:
    host: Seat
    ends_at: float
    guest: Seat | None = None
    messages: list[bytes] = field(default_factory=list)
    held_bytes: int = 0


class HeldAnswers:
    """A dialer knocks before it has a seat; what the exposer sends it meanwhile waits here, for seconds.

    Each knock that was passed on gives its receiver room for a few messages to one seat. So nothing can be held for
    anybody who has not asked for it.
    """

    def __init__(self) -> None:
        self._slots: OrderedDict[bytes, _Slot] = OrderedDict()
        self._guests: dict[Seat, list[_Slot]] = {}
        self._held_bytes = 0

    def expect(self, nonce: bytes, host: Seat, now: float) -> None:
        """Make room for the answers to a knock.

        Args:
            nonce: The knock's.
            host: Whom it was passed on to.
            now: The monotonic time.
        """
        self._forget(now)
        self._slots[nonce] = _Slot(host, now + KNOCK_HOLD_S)

    def hold(self, nonce: bytes, host: Seat, guest: Seat, message: bytes, now: float) -> bool:
        """Keep a message for a seat that nobody has taken yet.

        Args:
            nonce: Of the knock that it answers.
            host: Who sends it.
            guest: For whom.
            message: Encoded.
            now: The monotonic time.

        Returns:
            Whether it is kept.
        """
        self._forget(now)
        slot = self._slots.get(nonce)
        if slot is None or slot.host != host or slot.guest not in (None, guest):
            return False
        size = slot.held_bytes + len(message)
        if len(slot.messages) >= KNOCK_HELD_MESSAGES or size > KNOCK_HELD_BYTES_EACH:
            return False
        if self._held_bytes + len(message) > KNOCK_HELD_BYTES:
            return False
        if slot.guest is None:
            slot.guest = guest
            self._guests.setdefault(guest, []).append(slot)
        slot.messages.append(message)
        slot.held_bytes = size
        self._held_bytes += len(message)
        return True

    def collect(self, guest: Seat, now: float) -> list[bytes]:
        """Take what is there for a seat, in the order in which it came."""
        self._forget(now)
        messages = []
        for slot in self._guests.pop(guest, ()):
            messages += slot.messages
            self._empty(slot)
            slot.guest = None
        return messages

    def _forget(self, now: float) -> None:
        while self._slots:
            nonce, oldest = next(iter(self._slots.items()))
            if now < oldest.ends_at:
                return
            del self._slots[nonce]
            self._empty(oldest)
            if oldest.guest is not None and (slots := self._guests.get(oldest.guest)) is not None:
                slots.remove(oldest)
                if not slots:
                    del self._guests[oldest.guest]

    def _empty(self, slot: _Slot) -> None:
        self._held_bytes -= slot.held_bytes
        slot.messages = []
        slot.held_bytes = 0
