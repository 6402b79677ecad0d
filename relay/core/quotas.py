"""How many relayed addresses there may be: in all, for one user, for one client address."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from p2p.defaults import (
    RELAY_MAX_ALLOCATIONS,
    RELAY_MAX_ALLOCATIONS_PER_ADDRESS,
    RELAY_MAX_ALLOCATIONS_PER_USER,
)
from p2p.proto.networks import network_of


@dataclass(frozen=True, kw_only=True, slots=True)
class QuotaLimits:
    """Numbers of relayed addresses, and thereby of ports, that may exist at the same time.

    An allocation has one, or two when the client asks for both families; a reserved port is one.

    Attributes:
        total: In all.
        per_user: For one user.
        per_address: For one client host, or the /64 of one; users behind one NAT share it.
    """

    total: int = RELAY_MAX_ALLOCATIONS
    per_user: int = RELAY_MAX_ALLOCATIONS_PER_USER
    per_address: int = RELAY_MAX_ALLOCATIONS_PER_ADDRESS


class Quotas:
    """Counts relayed addresses against their limits.

    Args:
        limits: The limits.
    """

    def __init__(self, limits: QuotaLimits) -> None:
        self._limits = limits
        self._total = 0
        self._by_user: Counter[str] = Counter()
        self._by_address: Counter[str] = Counter()

    def set_limits(self, limits: QuotaLimits) -> None:
        """Take other limits; what is beyond them already stays until it ends."""
        self._limits = limits

    def exceeded(self, user: str, host: str, wanted: int = 1) -> str | None:
        """Name the limit that more relayed addresses would exceed, or None.

        Args:
            user: Whom they would be counted for.
            host: The client's host.
            wanted: How many they are.
        """
        if self._total + wanted > self._limits.total:
            return "total"
        if self._by_user.get(user, 0) + wanted > self._limits.per_user:
            return "user"
        if self._by_address.get(network_of(host), 0) + wanted > self._limits.per_address:
            return "address"
        return None

    def add(self, user: str, host: str, count: int = 1) -> None:
        """Count relayed addresses more."""
        self._total += count
        self._by_user[user] += count
        self._by_address[network_of(host)] += count

    def remove(self, user: str, host: str, count: int = 1) -> None:
        """Count relayed addresses less."""
        self._total -= count
        _decrement(self._by_user, user, count)
        _decrement(self._by_address, network_of(host), count)


def _decrement(counter: Counter[str], key: str, count: int) -> None:
    counter[key] -= count
    if not counter[key]:
        del counter[key]  # names come from the network: a zero left behind for each would add up
