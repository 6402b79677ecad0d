"""What the relay counts: plain integers on the data path, read by the metrics when somebody asks."""

from __future__ import annotations

from collections import Counter
from enum import Enum


class Drop(Enum):
    """Why a packet went nowhere. The values are the labels of the metric."""

    MALFORMED = "malformed"
    """Neither STUN nor ChannelData, or a message that does not decode."""
    NO_ALLOCATION = "no_allocation"
    """Data or an indication on a five-tuple without an allocation."""
    NO_CHANNEL = "no_channel"
    """ChannelData on a number that is not bound."""
    NO_PERMISSION = "no_permission"
    """Data from or to a peer without a permission."""
    FORBIDDEN_PEER = "forbidden_peer"
    """Data to an address of this host that is no live allocation."""
    UNSUPPORTED = "unsupported"
    """An indication with an attribute or a method that is not understood."""
    UNAUTHENTICATED_LIMIT = "unauthenticated_limit"
    """An answer that the limit for strangers did not allow."""
    GUESS_LIMIT = "guess_limit"
    """A request from where too many wrong credentials came."""
    RATE_LIMIT = "rate_limit"
    """Data beyond what a user, an address or the relay may send in that time."""
    CLIENT_BUFFER_FULL = "client_buffer_full"
    """The client does not read as fast as its peers send."""
    SOCKET_BUFFER_FULL = "socket_buffer_full"
    """The kernel took no more."""
    SEND_FAILED = "send_failed"
    """The kernel or the network refused it: no route, a firewall, too large."""
    TOO_LONG = "too_long"
    """Data that no ChannelData or indication can carry, or that must not be fragmented and would have to be."""
    CONNECTION_LIMIT = "connection_limit"
    """A connection beyond the limits on connections."""
    HTTP = "http"
    """A connection that asked for a web page, and was answered."""
    PROXY_HEADER = "proxy_header"
    """A connection of a trusted front that did not say whom it is for."""


class RelayCounters:
    """Running totals since the start of the service.

    Attributes:
        packets_to_peers: Datagrams relayed from clients to peers.
        bytes_to_peers: Their payload.
        packets_to_clients: Datagrams relayed from peers to clients.
        bytes_to_clients: Their payload.
        drops: Packets that went nowhere, by reason.
        requests: Answered requests, by method and by "success" or the number of the error.
        authentication_failures: Requests that were not authenticated, by reason.
        allocations_created: Allocations made.
        allocations_ended: Allocations gone, by reason.
    """

    __slots__ = (
        "allocations_created",
        "allocations_ended",
        "authentication_failures",
        "bytes_to_clients",
        "bytes_to_peers",
        "drops",
        "packets_to_clients",
        "packets_to_peers",
        "requests",
    )

    def __init__(self) -> None:
        self.packets_to_peers = 0
        self.bytes_to_peers = 0
        self.packets_to_clients = 0
        self.bytes_to_clients = 0
        self.drops: Counter[Drop] = Counter()
        self.requests: Counter[tuple[str, str]] = Counter()
        self.authentication_failures: Counter[str] = Counter()
        self.allocations_created = 0
        self.allocations_ended: Counter[str] = Counter()
