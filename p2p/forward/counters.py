"""What forwarding has done so far, as immutable values."""

from __future__ import annotations

from dataclasses import dataclass

from p2p.address import TransportAddress


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowSnapshot:
    """One forwarded connection at one instant."""

    stream_id: int
    """The QUIC stream that carries it."""
    service: str
    """The service it belongs to; empty for the session's own."""
    origin: TransportAddress | None
    """Where the connection came from, if from an IP address."""
    opened_at: float
    """Monotonic instant in seconds."""
    bytes_out: int
    """Payload bytes given to QUIC."""
    bytes_in: int
    """Payload bytes delivered to the local connection."""
    held_bytes: int
    """Bytes that arrived and wait for the local connection to take them."""
    connected: bool
    """Whether the local connection is established."""
    datagrams_dropped: int = 0
    """Datagrams that found something full."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardSnapshot:
    """All flows of a session at one instant, ended ones included."""

    flows_open: int = 0
    """Flows that have not ended in both directions."""
    flows_total: int = 0
    """Flows ever opened, from either side."""
    flows_reset: int = 0
    """Flows that ended by a reset of either side."""
    flows_refused: int = 0
    """Flows that never had a local connection: refused, unreachable, unknown, or too many."""
    bytes_out: int = 0
    """Payload bytes given to QUIC."""
    bytes_in: int = 0
    """Payload bytes delivered to local connections."""
    held_bytes: int = 0
    """Bytes that arrived and wait for local connections to take them."""
    datagrams_dropped: int = 0
    """Datagrams that found something full, or came for no open flow."""
