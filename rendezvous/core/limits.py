"""How much each address may do."""

from __future__ import annotations

from collections import OrderedDict

from p2p.proto.networks import network_of
from p2p.proto.token_bucket import TokenBucket


class AddressBuckets:
    """Limits how often the clients of each address may do something.

    IPv6 is counted by /64, because one customer owns at least that. Memory is bounded: beyond ``table_size``
    addresses the one that was quiet longest starts afresh.

    Args:
        rate_per_s: How often a second.
        burst: How often at once.
        table_size: How many addresses are remembered.
    """

    def __init__(self, *, rate_per_s: float, burst: float, table_size: int) -> None:
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._table_size = table_size
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def take(self, host: str, now: float) -> bool:
        """Count it, if it may be.

        Args:
            host: The client's IP address.
            now: The present, a monotonic instant.
        """
        key = network_of(host)
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = TokenBucket(self._rate_per_s, self._burst)
            while len(self._buckets) > self._table_size:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(key)
        return bucket.take(now)

    def __len__(self) -> int:
        return len(self._buckets)


class AddressLimiter:
    """Limits, for each client address, new connections in time and open connections at once.

    IPv6 is counted by /64. Memory is bounded as that of ``AddressBuckets``.

    Args:
        rate_per_s: New connections a second.
        burst: New connections at once.
        open_limit: Open connections at once.
        table_size: How many addresses are remembered.
    """

    def __init__(self, *, rate_per_s: float, burst: float, open_limit: int, table_size: int) -> None:
        self._buckets = AddressBuckets(rate_per_s=rate_per_s, burst=burst, table_size=table_size)
        self._open_limit = open_limit
        self._open: dict[str, int] = {}

    def admit(self, host: str, now: float) -> bool:
        """Count a new connection, if it may be.

        Args:
            host: The client's IP address.
            now: The present, a monotonic instant.

        Returns:
            Whether the connection is admitted; then ``release`` must follow.
        """
        key = network_of(host)
        if self._open.get(key, 0) >= self._open_limit or not self._buckets.take(host, now):
            return False
        self._open[key] = self._open.get(key, 0) + 1
        return True

    def release(self, host: str) -> None:
        """Forget a connection that was admitted."""
        key = network_of(host)
        count = self._open.get(key, 0) - 1
        if count > 0:
            self._open[key] = count
        else:
            self._open.pop(key, None)

    def __len__(self) -> int:
        return len(self._buckets)
