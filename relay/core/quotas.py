"""How many allocations there may be: in all, for one user, for one client address."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from p2p.defaults import (
    RELAY_MAX_ALLOCATIONS,
    RELAY_MAX_ALLOCATIONS_PER_ADDRESS,
    RELAY_MAX_ALLOCATIONS_PER_USER,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class QuotaLimits:
    """Numbers of allocations that may exist at the same time.

    Attributes:
        total: In all.
        per_user: For one user.
        per_address: For one client host; users behind one NAT share it.
    """

    total: int = RELAY_MAX_ALLOCATIONS
    per_user: int = RELAY_MAX_ALLOCATIONS_PER_USER
    per_address: int = RELAY_MAX_ALLOCATIONS_PER_ADDRESS


class Quotas:
    """Counts allocations against their limits.

    Args:
        limits: The limits.
    """

    def __init__(self, limits: QuotaLimits) -> None:
        self._limits = limits
        self._total = 0
        self._by_user: Counter[str] = Counter()
        self._by_address: Counter[str] = Counter()

    def exceeded(self, user: str, host: str) -> str | None:
        """Name the limit that one more allocation would exceed, or None.

        Args:
            user: Whom it would be counted for.
            host: The client's host.
        """
        if self._total >= self._limits.total:
            return "total"
        if self._by_user.get(user, 0) >= self._limits.per_user:
            return "user"
        if self._by_address.get(host, 0) >= self._limits.per_address:
            return "address"
        return None

    def add(self, user: str, host: str) -> None:
        """Count one allocation more."""
        self._total += 1
        self._by_user[user] += 1
        self._by_address[host] += 1

    def remove(self, user: str, host: str) -> None:
        """Count one allocation less."""
        self._total -= 1
        _decrement(self._by_user, user)
        _decrement(self._by_address, host)


def _decrement(counter: Counter[str], key: str) -> None:
    counter[key] -= 1
    if not counter[key]:
        del counter[key]  # names come from the network: a zero left behind for each would add up
