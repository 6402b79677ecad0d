"""When things end, without a timer for each and without ever looking at those that do not."""

from __future__ import annotations

import heapq
from collections.abc import Hashable
from typing import Generic, TypeVar

from p2p.defaults import RELAY_EXPIRY_STEP_S

KeyT = TypeVar("KeyT", bound=Hashable)


class ExpiryWheel(Generic[KeyT]):
    """Keys sorted into buckets of one step each: scheduling, moving and cancelling cost the same for any number.

    A key ends at the first whole step at or after its instant, never before it. A cancelled or moved key leaves
    nothing behind, so memory follows the number of live keys and not the number of refreshes.

    Args:
        step_s: Width of a bucket in seconds, and thereby the greatest delay.
    """

    def __init__(self, step_s: float = RELAY_EXPIRY_STEP_S) -> None:
        self._step_s = step_s
        self._step_of_key: dict[KeyT, int] = {}
        self._buckets: dict[int, set[KeyT]] = {}
        self._steps: list[int] = []

    def __len__(self) -> int:
        return len(self._step_of_key)

    def __contains__(self, key: KeyT) -> bool:
        return key in self._step_of_key

    def schedule(self, key: KeyT, at: float) -> None:
        """Let a key end at an instant; a key that is known already moves there.

        Args:
            key: The key.
            at: Monotonic instant in seconds.
        """
        step = -int(-at // self._step_s)
        if self._step_of_key.get(key) == step:
            return
        self.cancel(key)
        self._step_of_key[key] = step
        bucket = self._buckets.get(step)
        if bucket is None:
            bucket = self._buckets[step] = set()
            heapq.heappush(self._steps, step)
        bucket.add(key)

    def cancel(self, key: KeyT) -> None:
        """Forget a key; an unknown one is no error."""
        step = self._step_of_key.pop(key, None)
        if step is None:
            return
        bucket = self._buckets[step]
        bucket.discard(key)
        if not bucket and self._steps and self._steps[0] == step:
            self._drop_empty_front()

    def next_at(self) -> float | None:
        """When the next key ends, as a monotonic instant, or None."""
        self._drop_empty_front()
        return self._steps[0] * self._step_s if self._steps else None

    def pop_due(self, now: float) -> list[KeyT]:
        """Take the keys whose time has come, the earliest step first.

        Args:
            now: Monotonic instant in seconds.
        """
        due: list[KeyT] = []
        while self._steps and self._steps[0] * self._step_s <= now:
            bucket = self._buckets.pop(heapq.heappop(self._steps))
            for key in bucket:
                del self._step_of_key[key]
            due.extend(bucket)
        return due

    def _drop_empty_front(self) -> None:
        while self._steps and not self._buckets[self._steps[0]]:
            del self._buckets[heapq.heappop(self._steps)]
