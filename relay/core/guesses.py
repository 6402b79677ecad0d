"""How often somebody may try credentials that are wrong."""

from __future__ import annotations

from collections import OrderedDict

from p2p.address import TransportAddress
from p2p.defaults import RELAY_GUESSES_BURST, RELAY_GUESSES_PER_S, RELAY_STRANGERS_REMEMBERED
from p2p.proto.networks import network_of


class GuessLimit:
    """Counts wrong credentials for each network. One that failed too often is not even checked for a while.

    Whoever has an allocation is not asked: somebody behind the same NAT cannot lock them out. Neither are those with
    time-limited names, whose passwords nobody can guess: an office whose credentials have all ended goes on at once.

    Args:
        burst: Failures of a network that was quiet.
        per_s: How fast they are forgiven.
        remembered: How many networks are remembered; beyond it the one that failed longest ago is forgotten.
    """

    def __init__(
        self,
        *,
        burst: float = RELAY_GUESSES_BURST,
        per_s: float = RELAY_GUESSES_PER_S,
        remembered: int = RELAY_STRANGERS_REMEMBERED,
    ) -> None:
        self._burst = burst
        self._per_s = per_s
        self._remembered = remembered
        self._failures: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def may_try(self, client: TransportAddress, now: float) -> bool:
        """Whether credentials from an address are looked at.

        Args:
            client: Where they came from.
            now: Monotonic instant in seconds.
        """
        return self._count(network_of(client.host), now) <= self._burst - 1

    def failed(self, client: TransportAddress, now: float) -> None:
        """Take note of wrong credentials.

        Args:
            client: Where they came from.
            now: Monotonic instant in seconds.
        """
        network = network_of(client.host)
        self._failures[network] = (self._count(network, now) + 1, now)
        self._failures.move_to_end(network)
        if len(self._failures) > self._remembered:
            self._failures.popitem(last=False)

    def _count(self, network: str, now: float) -> float:
        count, at = self._failures.get(network, (0.0, now))
        return max(0.0, count - (now - at) * self._per_s)
