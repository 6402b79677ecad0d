"""TCP connections between relayed addresses and peers, and who they wait for.

    client --control connection--> Allocation --relayed address--> peer        (Connect, or the peer comes)
    client --data connection-----> PeerConnection ---------------> peer        (ConnectionBind)

Source: RFC 6062.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from p2p.address import TransportAddress
from p2p.defaults import RELAY_PEER_CONNECTION_WAIT_S
from relay.core.allocation import Allocation
from relay.core.expiry import ExpiryWheel
from relay.core.request import Request

_NUMBER_BYTES: Final = 4


class PeerStream(Protocol):
    """A TCP connection with a peer. Implemented by the shell, which reads nothing of it before it is bound."""

    def close(self) -> None:
        """Close it at once."""
        ...


class PeerConnection:
    """One connection with a peer.

    Attributes:
        number: CONNECTION-ID.
        allocation: Whose it is.
        peer: The peer's address.
        request: The Connect request that waits for an answer; None once it was answered, and where the peer came.
        stream: The connection; None while it is being made.
        is_bound: Whether a data connection of the client belongs to it.
    """

    __slots__ = ("allocation", "is_bound", "number", "peer", "request", "stream")

    def __init__(self, number: int, allocation: Allocation, peer: TransportAddress, request: Request | None) -> None:
        self.number = number
        self.allocation = allocation
        self.peer = peer
        self.request = request
        self.stream: PeerStream | None = None
        self.is_bound = False


class PeerConnections:
    """All connections with peers, found by their numbers.

    Args:
        random_bytes: Source of the numbers.
    """

    def __init__(self, random_bytes: Callable[[int], bytes]) -> None:
        self._random_bytes = random_bytes
        self._by_number: dict[int, PeerConnection] = {}
        self._of_allocation: dict[Allocation, dict[TransportAddress, PeerConnection]] = {}
        self._expiries: ExpiryWheel[int] = ExpiryWheel()

    def __len__(self) -> int:
        return len(self._by_number)

    def find(self, number: int) -> PeerConnection | None:
        """Find a connection by CONNECTION-ID."""
        return self._by_number.get(number)

    def of(self, allocation: Allocation) -> dict[TransportAddress, PeerConnection]:
        """Return the connections of an allocation by peer, to read and not to change."""
        return self._of_allocation.get(allocation, {})

    def begin(self, allocation: Allocation, peer: TransportAddress, request: Request | None) -> PeerConnection:
        """Note a connection that is being made, or a peer that came.

        Args:
            allocation: Whose it is.
            peer: One without a connection.
            request: What is to be answered when it is made.
        """
        number = int.from_bytes(self._random_bytes(_NUMBER_BYTES), "big")
        while number in self._by_number:
            number = (number + 1) % (1 << 8 * _NUMBER_BYTES)
        connection = PeerConnection(number, allocation, peer, request)
        self._by_number[number] = connection
        self._of_allocation.setdefault(allocation, {})[peer] = connection
        return connection

    def await_client(self, connection: PeerConnection, stream: PeerStream, now: float) -> None:
        """Let a connection that is made wait for its client, for a while.

        Source: RFC 6062 sections 5.2 and 5.3: at least 30 seconds.
        """
        connection.request = None
        connection.stream = stream
        self._expiries.schedule(connection.number, now + RELAY_PEER_CONNECTION_WAIT_S)

    def bind(self, connection: PeerConnection) -> None:
        """Let a connection belong to its client's data connection from now on."""
        connection.is_bound = True
        self._expiries.cancel(connection.number)

    def end(self, connection: PeerConnection) -> None:
        """Close a connection; one that has ended already is no error."""
        if self._by_number.pop(connection.number, None) is None:
            return
        self._expiries.cancel(connection.number)
        others = self._of_allocation[connection.allocation]
        del others[connection.peer]
        if not others:
            del self._of_allocation[connection.allocation]
        if connection.stream is not None:
            connection.stream.close()

    def end_all(self, allocation: Allocation) -> None:
        """Close the connections of an allocation."""
        for connection in list(self.of(allocation).values()):
            self.end(connection)

    def next_at(self) -> float | None:
        """When ``expire`` has something to do next, as a monotonic instant, or None."""
        return self._expiries.next_at()

    def expire(self, now: float) -> None:
        """Close what no client has bound in time."""
        for number in self._expiries.pop_due(now):
            self.end(self._by_number[number])
