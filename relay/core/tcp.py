"""TCP to peers, as far as it is not answered at once. Source: RFC 6062."""

from __future__ import annotations

from collections.abc import Callable

from p2p.address import TransportAddress
from p2p.defaults import RELAY_MAX_PEER_CONNECTIONS
from p2p.proto.stun.attributes import CONNECTION_ID, XOR_PEER_ADDRESS
from p2p.proto.stun.message import TRANSACTION_ID_BYTES, Message, MessageClass, Method, encode
from relay.core.allocation import Allocation, Neighbourhood
from relay.core.counters import Drop, RelayCounters
from relay.core.handlers.connections import ConnectHandler, ConnectionBindHandler
from relay.core.messages import encode_answer
from relay.core.peer_connections import PeerConnection, PeerConnections, PeerStream
from relay.core.policy import PeerPolicy
from relay.core.request import Request, StunError
from relay.core.table import AllocationTable


class TcpRelaying:
    """Takes what becomes of connections with peers, and tells clients.

    Args:
        table: Where allocations are.
        policy: Who may be a peer.
        neighbourhood: The relayed addresses of this relay.
        counters: What is counted.
        random_bytes: Source of randomness.

    Attributes:
        connections: All connections with peers.
        connect_handler: Answers Connect requests.
        bind_handler: Answers ConnectionBind requests.
    """

    def __init__(
        self,
        *,
        table: AllocationTable,
        policy: PeerPolicy,
        neighbourhood: Neighbourhood,
        counters: RelayCounters,
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._counters = counters
        self._random_bytes = random_bytes
        self.connections = PeerConnections(random_bytes)
        self.connect_handler = ConnectHandler(table, policy, self.connections, neighbourhood)
        self.bind_handler = ConnectionBindHandler(self.connections)

    def allocation_of_data(self, message: Message) -> Allocation | None:
        """Return the allocation whose credentials are good for a data connection, however old they are."""
        number = message.get(CONNECTION_ID) if message.method == Method.CONNECTION_BIND else None
        connection = None if number is None else self.connections.find(number)
        return None if connection is None else connection.allocation

    def peer_connected(self, number: int, stream: PeerStream, now: float) -> None:
        """Take a connection with a peer that a Connect request wanted.

        Args:
            number: What the relayed socket was told.
            stream: The connection; closed when nobody wants it any more.
            now: Monotonic instant in seconds.
        """
        connection = self.connections.find(number)
        if connection is None or connection.request is None:
            stream.close()
            return
        request = connection.request
        self.connections.await_client(connection, stream, now)
        self._answer_late(request, request.message.success_response(CONNECTION_ID(number)), "success")

    def peer_failed(self, number: int) -> None:
        """Take note that a connection with a peer could not be made."""
        connection = self.connections.find(number)
        if connection is None or connection.request is None:
            return
        request = connection.request
        self.connections.end(connection)
        error = StunError.CONNECTION_FAILURE
        response = request.message.error_response(error, "Connection Timeout or Failure")
        self._answer_late(request, response, str(error.value))

    def peer_arrived(self, allocation: Allocation, peer: TransportAddress, stream: PeerStream, now: float) -> None:
        """Take a connection that a peer has made to a relayed address; closed unless the peer may send.

        Args:
            allocation: Whose relayed address.
            peer: Where it came from.
            stream: The connection.
            now: Monotonic instant in seconds.

        Source: RFC 6062 section 5.3.
        """
        others = self.connections.of(allocation)
        if peer.host not in allocation.permissions or peer in others or len(others) >= RELAY_MAX_PEER_CONNECTIONS:
            self._counters.drops[Drop.NO_PERMISSION] += 1
            stream.close()
            return
        connection = self.connections.begin(allocation, peer, None)
        self.connections.await_client(connection, stream, now)
        attributes = (XOR_PEER_ADDRESS(peer), CONNECTION_ID(connection.number))
        method = Method.CONNECTION_ATTEMPT
        attempt = Message(MessageClass.INDICATION, method, self._random_bytes(TRANSACTION_ID_BYTES), attributes)
        allocation.leg.send_message(encode(attempt))

    def take_bound(self) -> PeerConnection | None:
        """Return what the request before has bound to its connection, once."""
        bound, self.bind_handler.bound = self.bind_handler.bound, None
        return bound

    def _answer_late(self, request: Request, response: Message, outcome: str) -> None:
        self._counters.requests[Method(request.message.method).name.lower(), outcome] += 1
        request.leg.send_message(encode_answer(request.message, response, request.proof))
