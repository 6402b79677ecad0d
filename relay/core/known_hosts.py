"""Hosts that use this server, for a relay that sends to nobody else."""

from __future__ import annotations

from collections import OrderedDict

from p2p.defaults import RELAY_KNOWN_HOST_S, RELAY_KNOWN_HOSTS
from p2p.proto.networks import network_of


class KnownHosts:
    """Remembers where requests came from, for a day.

    A datagram's source proves nothing, so what was only ever seen there is kept apart: a flood of forged sources
    pushes out other such sources, and never those that have proven theirs by credentials or a TCP handshake.

    Args:
        lifetime_s: How long a host is known after its last request.
        remembered: How many networks of either kind are remembered.
    """

    def __init__(self, *, lifetime_s: float = RELAY_KNOWN_HOST_S, remembered: int = RELAY_KNOWN_HOSTS) -> None:
        self._lifetime_s = lifetime_s
        self._remembered = remembered
        self._proven: OrderedDict[str, float] = OrderedDict()
        self._seen: OrderedDict[str, float] = OrderedDict()

    def note(self, host: str, now: float, *, is_proven: bool) -> None:
        """Take note of a request.

        Args:
            host: Where it came from.
            now: Monotonic instant in seconds.
            is_proven: Whether it cannot have come from elsewhere.
        """
        network = network_of(host)
        table = self._proven if is_proven else self._seen
        table[network] = now
        table.move_to_end(network)
        if len(table) > self._remembered:
            table.popitem(last=False)

    def knows(self, host: str, now: float) -> bool:
        """Whether somebody at a host has used this server lately.

        Args:
            host: An IP address.
            now: Monotonic instant in seconds.
        """
        network = network_of(host)
        instants = (self._proven.get(network), self._seen.get(network))
        return any(at is not None and now - at < self._lifetime_s for at in instants)
