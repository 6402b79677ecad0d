"""Connect and ConnectionBind: TCP between clients and peers. Source: RFC 6062 sections 5.2 and 5.4."""

from __future__ import annotations

from typing import cast

from p2p.address import TransportAddress
from p2p.defaults import RELAY_MAX_PEER_CONNECTIONS
from p2p.proto.stun.attributes import CONNECTION_ID, XOR_PEER_ADDRESS
from p2p.proto.stun.message import AttributeValue
from relay.core.allocation import Allocation, Neighbourhood, RelayedTcp
from relay.core.five_tuple import ClientTransport
from relay.core.handlers.peers import PeerGate
from relay.core.peer_connections import PeerConnection, PeerConnections
from relay.core.policy import PeerPolicy
from relay.core.request import RefusedError, Request, StunError
from relay.core.table import AllocationTable


class ConnectHandler(PeerGate):
    """Begins to answer Connect requests: the answer itself comes when the connection is made, or is not.

    Args:
        table: Where allocations are.
        policy: Who may be a peer.
        connections: Where connections are noted.
        neighbourhood: The relayed addresses of this relay.
    """

    def __init__(
        self,
        table: AllocationTable,
        policy: PeerPolicy,
        connections: PeerConnections,
        neighbourhood: Neighbourhood,
    ) -> None:
        super().__init__(table, policy)
        self._connections = connections
        self._neighbourhood = neighbourhood

    def handle(self, request: Request) -> None:
        """Connect to a peer.

        Args:
            request: Authenticated.

        Raises:
            RefusedError: 400, 403, 437, 441, 443, 446, 447 or 508.
        """
        allocation = request.require_allocation()
        peer = request.message.get(XOR_PEER_ADDRESS)
        if not allocation.is_tcp:
            raise RefusedError(StunError.ALLOCATION_MISMATCH, "the allocation is not for TCP")
        if peer is None:
            raise RefusedError(StunError.BAD_REQUEST, "no XOR-PEER-ADDRESS")
        self._check(allocation, peer)
        others = self._connections.of(allocation)
        if peer in others:
            raise RefusedError(StunError.CONNECTION_ALREADY_EXISTS, f"a connection with {peer} exists")
        if len(others) >= RELAY_MAX_PEER_CONNECTIONS:
            raise RefusedError(StunError.INSUFFICIENT_CAPACITY, "too many connections")
        if not self._is_reachable(allocation, peer):
            raise RefusedError(StunError.CONNECTION_FAILURE, f"no allocation for TCP at {peer}")
        connection = self._connections.begin(allocation, peer, request)
        cast("RelayedTcp", allocation.sockets[peer.is_ipv6]).connect(peer, connection.number)

    def _is_reachable(self, allocation: Allocation, peer: TransportAddress) -> bool:
        """Of this host only what belongs to allocations is reached, and nothing else that listens."""
        if not allocation.is_neighbour(peer.host) or self._neighbourhood.may_leave_process:
            return True
        neighbour = self._neighbourhood.by_relayed_address.get(peer)
        return neighbour is not None and neighbour.is_tcp


class ConnectionBindHandler:
    """Answers ConnectionBind requests.

    Args:
        connections: Where connections are noted.

    Attributes:
        bound: What the last request has bound, until the listener takes it.
    """

    def __init__(self, connections: PeerConnections) -> None:
        self._connections = connections
        self.bound: PeerConnection | None = None

    def handle(self, request: Request) -> tuple[AttributeValue, ...]:
        """Let a connection of the client carry the data of a connection with a peer.

        Args:
            request: Authenticated, on a connection without an allocation.

        Returns:
            The attributes of the success response: none, as RFC 6062 section 5.4 has it.

        Raises:
            RefusedError: 400 or 441.
        """
        number = request.message.get(CONNECTION_ID)
        connection = None if number is None else self._connections.find(number)
        if request.five_tuple.transport is ClientTransport.UDP or request.allocation is not None:
            raise RefusedError(StunError.BAD_REQUEST, "data connections are TCP connections of their own")
        if connection is None or connection.stream is None or connection.is_bound:
            raise RefusedError(StunError.BAD_REQUEST, "no connection waits with this number")
        if connection.allocation.owner != request.proof.username:
            raise RefusedError(StunError.WRONG_CREDENTIALS, "the connection belongs to another user")
        self._connections.bind(connection)
        self.bound = connection
        return ()
