"""How much the relay sends to addresses that have proven nothing, so that nobody can aim it at a victim."""

from __future__ import annotations

from collections import OrderedDict

from p2p.address import TransportAddress
from p2p.defaults import (
    RELAY_STRANGER_BURST_BYTES,
    RELAY_STRANGER_BYTES_PER_S,
    RELAY_STRANGERS_REMEMBERED,
)
from p2p.proto.networks import network_of


class StrangerLimit:
    """A budget of bytes for each source network: a small start, and then a trickle or what the source itself sends.

    The source address of a datagram proves nothing. A challenge is larger than the smallest request, so a first few
    may be answered in full; after that no more goes back than came in, or than the trickle where less than that came
    in. A spoofed address gains an attacker nothing beyond that: who sends more than the trickle gets nothing of it.

    Args:
        burst_bytes: The budget of a source that was quiet.
        bytes_per_s: How fast it comes back.
        remembered: How many sources are remembered at most; beyond it the one that was quiet longest is forgotten.
    """

    def __init__(
        self,
        *,
        burst_bytes: float = RELAY_STRANGER_BURST_BYTES,
        bytes_per_s: float = RELAY_STRANGER_BYTES_PER_S,
        remembered: int = RELAY_STRANGERS_REMEMBERED,
    ) -> None:
        self._burst_bytes = burst_bytes
        self._bytes_per_s = bytes_per_s
        self._remembered = remembered
        self._budgets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def received(self, source: TransportAddress, size: int, now: float) -> bool:
        """Take note of a request from a stranger.

        Args:
            source: Where it came from.
            size: Of the datagram, in bytes.
            now: Monotonic instant in seconds.

        Returns:
            Whether there is any budget at all: if not, there is no point in working on an answer.
        """
        network = network_of(source.host)
        budget = self._budget(network, now, size)
        self._store(network, budget, now)
        return budget > 0

    def may_send(self, destination: TransportAddress, size: int, now: float) -> bool:
        """Spend budget on an answer, if there is enough.

        Args:
            destination: Where the answer goes.
            size: Of the datagram, in bytes.
            now: Monotonic instant in seconds.
        """
        network = network_of(destination.host)
        budget = self._budget(network, now)
        if budget < size:
            return False
        self._store(network, budget - size, now)
        return True

    def _budget(self, network: str, now: float, received_bytes: int = 0) -> float:
        budget, at = self._budgets.get(network, (self._burst_bytes, now))
        return min(self._burst_bytes, budget + max(received_bytes, (now - at) * self._bytes_per_s))

    def _store(self, network: str, budget: float, now: float) -> None:
        self._budgets[network] = (min(self._burst_bytes, budget), now)
        self._budgets.move_to_end(network)
        if len(self._budgets) > self._remembered:
            self._budgets.popitem(last=False)
