"""What users have sent, for those who want to know whose traffic it is."""

from __future__ import annotations

import heapq
from collections import Counter, OrderedDict

from p2p.defaults import RELAY_USERS_COUNTED
from relay.core.allocation import Allocation
from relay.core.table import AllocationTable


class UserTotals:
    """The payload of each user since the start, for as many users as are remembered.

    Args:
        remembered: How many users without an allocation are remembered; beyond it the one that was gone first.
    """

    def __init__(self, remembered: int = RELAY_USERS_COUNTED) -> None:
        self._remembered = remembered
        self._ended: OrderedDict[str, int] = OrderedDict()

    def add(self, allocation: Allocation) -> None:
        """Count an allocation that has ended."""
        owner = allocation.quota_owner
        self._ended[owner] = self._ended.get(owner, 0) + allocation.relayed_bytes
        self._ended.move_to_end(owner)
        if len(self._ended) > self._remembered:
            self._ended.popitem(last=False)

    def top(self, table: AllocationTable, count: int) -> list[tuple[str, int]]:
        """Name the users with most payload, the first one first.

        Args:
            table: The allocations that live.
            count: How many users to name; 0 names nobody and costs nothing.
        """
        if not count:
            return []
        totals = Counter(dict(self._ended))
        for allocation in table:
            totals[allocation.quota_owner] += allocation.relayed_bytes
        return heapq.nlargest(count, totals.items(), key=lambda item: item[1])
