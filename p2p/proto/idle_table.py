"""Which of many things was not used for longest: what has no end of its own ends by being idle."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

KeyT = TypeVar("KeyT")


class IdleTable(Generic[KeyT]):
    """Remembers when each key was used last.

    Args:
        timeout_s: After so long without use a key has expired.
        capacity: How many keys there may be; the one unused for longest has to go for one more.
    """

    def __init__(self, timeout_s: float, capacity: int) -> None:
        self.timeout_s = timeout_s
        self._capacity = capacity
        self._used_at: OrderedDict[KeyT, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._used_at)

    def __contains__(self, key: KeyT) -> bool:
        return key in self._used_at

    def touch(self, key: KeyT, now: float) -> None:
        """Note that a key is used; one that is not there is added."""
        self._used_at[key] = now
        self._used_at.move_to_end(key)

    def remove(self, key: KeyT) -> None:
        """Forget a key; one that is not there is no error."""
        self._used_at.pop(key, None)

    def displaced(self) -> KeyT | None:
        """Take out the key unused for longest if there is no room for one more, else None."""
        if len(self._used_at) < self._capacity:
            return None
        return self._used_at.popitem(last=False)[0]

    def expired(self, now: float) -> list[KeyT]:
        """Take out the keys that have expired, those unused for longest first."""
        keys: list[KeyT] = []
        while self._used_at:
            key, used_at = next(iter(self._used_at.items()))
            if used_at + self.timeout_s > now:
                break
            del self._used_at[key]
            keys.append(key)
        return keys

    def get_timer(self) -> float | None:
        """When the next key expires, if it is not used before; None without any."""
        return None if not self._used_at else next(iter(self._used_at.values())) + self.timeout_s
