"""How many TCP and TLS connections there may be."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Protocol

from p2p.defaults import RELAY_MAX_CONNECTIONS, RELAY_MAX_CONNECTIONS_PER_ADDRESS
from p2p.proto.networks import network_of


@dataclass(frozen=True, kw_only=True, slots=True)
class ConnectionLimits:
    """Numbers of TCP and TLS connections that may exist at the same time.

    Attributes:
        total: In all.
        per_address: Of one client host, or the /64 of one.
    """

    total: int = RELAY_MAX_CONNECTIONS
    per_address: int = RELAY_MAX_CONNECTIONS_PER_ADDRESS


class Closable(Protocol):
    """A connection."""

    def close(self) -> None:
        """Close it at once."""
        ...


class ConnectionLimiter:
    """Knows all connections, counts them against the limits, and closes them at the end.

    Args:
        limits: The limits.
    """

    def __init__(self, limits: ConnectionLimits) -> None:
        self._limits = limits
        self._connections: set[Closable] = set()
        self._by_network: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._connections)

    def set_limits(self, limits: ConnectionLimits) -> None:
        """Take other limits; connections beyond them stay."""
        self._limits = limits

    def add(self, connection: Closable, host: str) -> bool:
        """Count a connection, unless there are too many.

        Args:
            connection: What to close at the end; one that is counted already is counted once.
            host: The client's host.

        Returns:
            Whether it may go on.
        """
        if connection in self._connections:
            return True
        network = network_of(host)
        if len(self._connections) >= self._limits.total or self._by_network.get(network, 0) >= self._limits.per_address:
            return False
        self._connections.add(connection)
        self._by_network[network] += 1
        return True

    def remove(self, connection: Closable, host: str) -> None:
        """Count a connection no longer; one that was never counted is no error."""
        if connection not in self._connections:
            return
        self._connections.remove(connection)
        network = network_of(host)
        self._by_network[network] -= 1
        if not self._by_network[network]:
            del self._by_network[network]

    def close(self) -> None:
        """Close all connections."""
        for connection in list(self._connections):
            connection.close()
