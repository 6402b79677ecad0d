"""How much the other side may send: one window a stream, and one pool for all of them."""

from __future__ import annotations

from collections.abc import Callable

from p2p import defaults


class CreditPool:
    """The memory that streams may fill beyond their initial credit; share one among all sessions of a process.

    A stream may take a fixed fraction of what is left, so that a few readers that have stopped cannot starve the
    others: the more of the pool is held, the smaller every window becomes, but none falls below the initial credit.

    Args:
        total_bytes: The size of the pool.
    """

    __slots__ = ("_free_bytes", "total_bytes")

    def __init__(self, total_bytes: int = defaults.TUNNEL_CREDIT_POOL_BYTES) -> None:
        self.total_bytes = total_bytes
        self._free_bytes = total_bytes

    @property
    def free_bytes(self) -> int:
        """What no stream has taken."""
        return self._free_bytes

    def exchange(self, old_bytes: int, new_bytes: int) -> int:
        """Give ``old_bytes`` back and take ``new_bytes``, which is returned."""
        self._free_bytes += old_bytes - new_bytes
        return new_bytes


class ReceiveWindow:
    """What one stream received, handed on, and was allowed.

    Besides the window the stream may have under way what its local connection will take at once: should the reader stop
    now, those bytes end in the kernel's buffer, which fills up whatever we do, and not in our memory.

    Args:
        pool: Where more than the initial credit comes from.
    """

    __slots__ = ("_base", "_borrowed", "_pool", "consumed", "granted", "received")

    def __init__(self, pool: CreditPool) -> None:
        self._pool = pool
        self._base = self.granted = defaults.TUNNEL_INITIAL_CREDIT_BYTES
        self._borrowed = 0
        self.received = 0
        self.consumed = 0

    @property
    def held_bytes(self) -> int:
        """What has arrived and was not handed on."""
        return self.received - self.consumed

    def receive(self, length: int) -> bool:
        """Count bytes that arrived.

        Returns:
            Whether the other side kept to its credit.
        """
        self.received += length
        return self.received <= self.granted

    def consume(self, length: int, absorbable: Callable[[], int]) -> int | None:
        """Count bytes that were handed on, and decide about new credit.

        Args:
            length: How many.
            absorbable: Tells how many bytes the local connection will take at once.

        Returns:
            The offset to grant, or None if the present one will do.
        """
        consumed = self.consumed = self.consumed + length
        pool = self._pool
        initial = defaults.TUNNEL_INITIAL_CREDIT_BYTES
        self._borrowed = pool.exchange(self._borrowed, max(0, min(self.granted - consumed, self._base) - initial))
        if self.granted == initial and consumed < initial // 2:
            return None  # most flows end before they need more: they cost no frame
        share = (pool.free_bytes + self._borrowed) // defaults.TUNNEL_CREDIT_SHARE
        base = min(defaults.TUNNEL_WINDOW_BYTES, initial + max(0, share))
        granted = consumed + base + min(defaults.TUNNEL_ABSORBED_BYTES, absorbable())
        if granted - self.granted < min(defaults.TUNNEL_CREDIT_STEP_BYTES, base // 2):
            return None
        self.granted = granted
        self._base = base
        self._borrowed = pool.exchange(self._borrowed, base - initial)
        return granted

    def close(self) -> None:
        """Give everything back to the pool."""
        self._borrowed = self._pool.exchange(self._borrowed, 0)
