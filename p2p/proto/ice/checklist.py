"""The check list: which pairs there are, and which one is tried next."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from p2p import defaults
from p2p.address import TransportAddress
from p2p.proto.ice.pair import CandidatePair, PairKey, PairState


class CheckList:
    """The pairs of one agent, at most ``limit`` of them, and the queue of triggered checks.

    Args:
        limit: How many pairs are kept; a full list gives up its worst unproven pair for a better one.

    Source: RFC 8445 sections 6.1.2 and 6.1.4.1.
    """

    def __init__(self, limit: int = defaults.ICE_MAX_PAIRS) -> None:
        self._limit = limit
        self._pairs: dict[PairKey, CandidatePair] = {}
        self._triggered: deque[CandidatePair] = deque()

    def __len__(self) -> int:
        return len(self._pairs)

    def __iter__(self) -> Iterator[CandidatePair]:
        return iter(tuple(self._pairs.values()))

    def find(self, base_id: int, remote: TransportAddress) -> CandidatePair | None:
        """Return the pair between a local transport and an address of the peer."""
        return self._pairs.get(PairKey(base_id, remote))

    def has_triggered(self) -> bool:
        """Whether a triggered check waits."""
        return bool(self._triggered)

    def has_waiting(self) -> bool:
        """Whether a pair has not been tried."""
        return any(pair.state is PairState.WAITING for pair in self._pairs.values())

    def add(self, pair: CandidatePair, *, controlling: bool) -> tuple[bool, CandidatePair | None]:
        """Add a pair that is not in the list yet.

        Args:
            pair: The new pair.
            controlling: Our role, on which priorities depend.

        Returns:
            Whether there was room for it, and the pair that made room.
        """
        evicted = None
        if len(self._pairs) >= self._limit:
            unproven = [other for other in self._pairs.values() if other.state is not PairState.SUCCEEDED]
            if not unproven:
                return False, None
            evicted = min(unproven, key=lambda other: _rank(other, controlling=controlling))
            if _rank(evicted, controlling=controlling) >= _rank(pair, controlling=controlling):
                return False, None
            self.remove(evicted)
        self._pairs[pair.key] = pair
        return True, evicted

    def remove(self, pair: CandidatePair) -> None:
        """Take a pair out of list and queue."""
        self._pairs.pop(pair.key, None)
        if pair in self._triggered:
            self._triggered.remove(pair)

    def trigger(self, pair: CandidatePair) -> None:
        """Put a pair into the queue that goes before the list."""
        if pair not in self._triggered:
            self._triggered.append(pair)

    def next_triggered(self) -> CandidatePair | None:
        """Take the oldest triggered pair."""
        return self._triggered.popleft() if self._triggered else None

    def best_waiting(self, *, controlling: bool) -> CandidatePair | None:
        """Return the pair of the highest priority that has not been tried."""
        waiting = (pair for pair in self._pairs.values() if pair.state is PairState.WAITING)
        return max(waiting, key=lambda pair: pair.priority(controlling=controlling), default=None)


def _rank(pair: CandidatePair, *, controlling: bool) -> tuple[bool, bool, int]:
    """Order pairs by how much they deserve their place: failed ones least, one between two relays most.

    Deviation: by priority alone (RFC 8445 section 6.1.2.5) a flood of candidates would push out the one pair that
    works through any NAT.
    """
    between_relays = pair.local.via_relay and pair.remote.via_relay
    return pair.state is not PairState.FAILED, between_relays, pair.priority(controlling=controlling)
