"""How fast data is relayed: for one user, for one client address, in all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Self

from p2p.defaults import RELAY_RATE_BURST_BYTES, RELAY_RATE_BURST_PACKETS, RELAY_RATE_BURST_S
from p2p.proto.networks import network_of

UNLIMITED: Final = 0.0
_BYTES_OF_A_MBIT: Final = 125_000


@dataclass(frozen=True, kw_only=True, slots=True)
class RateLimit:
    """What may be relayed a second, both directions together.

    Attributes:
        bytes_per_s: Payload; 0 for any amount.
        packets_per_s: Datagrams; 0 for any number.
    """

    bytes_per_s: float = UNLIMITED
    packets_per_s: float = UNLIMITED

    @classmethod
    def of_mbit(cls, mbit_s: float, packets_s: float = UNLIMITED) -> Self:
        """Make a limit with the payload in Mbit/s, as people write it."""
        return cls(bytes_per_s=mbit_s * _BYTES_OF_A_MBIT, packets_per_s=packets_s)

    @property
    def mbit_s(self) -> float:
        """The payload in Mbit/s; 0 for any amount."""
        return self.bytes_per_s / _BYTES_OF_A_MBIT

    @property
    def is_limited(self) -> bool:
        """Whether there is any limit."""
        return bool(self.bytes_per_s or self.packets_per_s)


@dataclass(frozen=True, kw_only=True, slots=True)
class RateLimits:
    """The limits of a relay.

    Attributes:
        user: For one user.
        address: For one client host; users behind one NAT share it.
        total: In all.
    """

    user: RateLimit = RateLimit()
    address: RateLimit = RateLimit()
    total: RateLimit = RateLimit()


class _Bucket:
    """What one user, address or relay may still send; a share of a second's worth is saved up while it is quiet."""

    __slots__ = ("_at", "_burst_bytes", "_burst_packets", "_limit", "bytes", "owners", "packets")

    def __init__(self, limit: RateLimit, now: float) -> None:
        self.owners = 0
        self._at = now
        self.set_limit(limit)

    def set_limit(self, limit: RateLimit) -> None:
        """Take another limit, with a full bucket."""
        self._limit = limit
        self._burst_bytes = max(RELAY_RATE_BURST_BYTES, limit.bytes_per_s * RELAY_RATE_BURST_S)
        self._burst_packets = max(RELAY_RATE_BURST_PACKETS, limit.packets_per_s * RELAY_RATE_BURST_S)
        self.bytes, self.packets = self._burst_bytes, self._burst_packets

    @property
    def is_limited(self) -> bool:
        return self._limit.is_limited

    def fill(self, now: float) -> None:
        """Add what time has brought."""
        limit, elapsed_s = self._limit, now - self._at
        self._at = now
        self.bytes = min(self._burst_bytes, self.bytes + elapsed_s * limit.bytes_per_s)
        self.packets = min(self._burst_packets, self.packets + elapsed_s * limit.packets_per_s)

    def has(self, packets: int, size: int) -> bool:
        """Tell whether there is enough."""
        limit = self._limit
        return (not limit.bytes_per_s or self.bytes >= size) and (not limit.packets_per_s or self.packets >= packets)


class RateGroup:
    """The limits that one allocation is under.

    Attributes:
        is_limited: Whether ``take`` has anything to look at; whoever moves data asks this first.
    """

    __slots__ = ("_buckets", "_clock", "host", "is_limited", "user")

    def __init__(self, user: str, host: str, buckets: tuple[_Bucket, ...], clock: Callable[[], float]) -> None:
        self.user = user
        self.host = host
        self._buckets = buckets
        self._clock = clock
        self.look()

    def look(self) -> None:
        """Take notice of limits that have changed."""
        self.is_limited = any(bucket.is_limited for bucket in self._buckets)

    def take(self, payloads: Sequence[bytes | memoryview]) -> int:
        """Take from all limits what datagrams cost.

        Args:
            payloads: In order.

        Returns:
            How many of them may pass, from the first one on.
        """
        packets, size, now = len(payloads), sum(map(len, payloads)), self._clock()
        for bucket in self._buckets:
            bucket.fill(now)
        if not self._have(packets, size):
            packets = size = 0
            while self._have(packets + 1, size + len(payloads[packets])):
                size += len(payloads[packets])
                packets += 1
        for bucket in self._buckets:
            bucket.bytes -= size
            bucket.packets -= packets
        return packets

    def _have(self, packets: int, size: int) -> bool:
        return all(bucket.has(packets, size) for bucket in self._buckets)


class Rates:
    """Hands out groups: allocations of one user, and of one address, share what they may send.

    Args:
        limits: The limits.
        clock: Tells the monotonic instant in seconds; asked once for each batch, and only where there is a limit.
    """

    def __init__(self, limits: RateLimits, *, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._clock = clock
        self._total = _Bucket(limits.total, clock())
        self._of_user: dict[str, _Bucket] = {}
        self._of_address: dict[str, _Bucket] = {}
        self._groups: set[RateGroup] = set()

    def join(self, user: str, host: str) -> RateGroup:
        """Make the group of a new allocation.

        Args:
            user: Whom its data is counted for.
            host: The client's host.
        """
        network = network_of(host)
        of_user, of_address = self._of_user.get(user), self._of_address.get(network)
        if of_user is None:
            of_user = self._of_user[user] = _Bucket(self._limits.user, self._clock())
        if of_address is None:
            of_address = self._of_address[network] = _Bucket(self._limits.address, self._clock())
        of_user.owners += 1
        of_address.owners += 1
        group = RateGroup(user, network, (of_user, of_address, self._total), self._clock)
        self._groups.add(group)
        return group

    def leave(self, group: RateGroup) -> None:
        """Forget the group of an allocation that has ended."""
        self._groups.remove(group)
        for table, name in ((self._of_user, group.user), (self._of_address, group.host)):
            table[name].owners -= 1
            if not table[name].owners:
                del table[name]

    def set_limits(self, limits: RateLimits) -> None:
        """Put other limits on everybody, those who are here among them."""
        self._limits = limits
        self._total.set_limit(limits.total)
        for table, limit in ((self._of_user, limits.user), (self._of_address, limits.address)):
            for bucket in table.values():
                bucket.set_limit(limit)
        for group in self._groups:
            group.look()
