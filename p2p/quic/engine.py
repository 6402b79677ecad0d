"""What the toolkit needs of a QUIC library, and nothing else.

Two libraries stand behind it (``qh3_engine``, ``aioquic_engine``); the rest of the package knows these protocols and
events only. An engine does no I/O and no timing of its own, and it never learns a network address: it sees one
constant synthetic peer, so that paths can change below a connection without the library's migration rules.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol, TypeAlias

from p2p.defaults import (
    QUIC_CONNECTION_WINDOW_BYTES,
    QUIC_IDLE_TIMEOUT_S,
    QUIC_MAX_STREAMS,
    QUIC_PACKET_BYTES,
    QUIC_PACKET_BYTES_MAX,
    QUIC_STREAM_WINDOW_BYTES,
)

ALPN: Final = "p2p/1"
"""The application protocol both ends must name in the TLS handshake."""

CONNECTION_ID_BYTES: Final = 8
"""Length of every connection id that an engine of ours issues, in both directions."""

PEER_ADDRESS: Final = ("192.0.2.1", 4433)
"""The address an engine believes its peer to have. A documentation address: it never reaches a socket.

Source: RFC 5737 section 3.
"""

CHANNEL_BINDING_LABEL: Final = b"p2p/1 channel binding"
"""What ``channel_binding`` authenticates with the traffic secrets; a change here is a change of the protocol."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """What both ends of a connection may choose."""

    packet_bytes: int = QUIC_PACKET_BYTES
    """What every path carries, at least 1,200: the longest packet of an engine that cannot change it, and of
    datagrams."""
    max_packet_bytes: int = QUIC_PACKET_BYTES_MAX
    """The longest packet that an engine which can change its packets may ever make."""
    connection_window_bytes: int = QUIC_CONNECTION_WINDOW_BYTES
    """How much the peer may send beyond what has arrived, over all streams."""
    stream_window_bytes: int = QUIC_STREAM_WINDOW_BYTES
    """How much the peer may send beyond what has arrived, on one stream."""
    max_streams: int = QUIC_MAX_STREAMS
    """How many bidirectional streams the peer may have open at once."""
    idle_timeout_s: float = QUIC_IDLE_TIMEOUT_S
    """After this long without a packet the connection is lost."""


@dataclass(frozen=True, slots=True)
class ServerCredentials:
    """The certificate a server shows: self-signed, over the Ed25519 key that is its identity."""

    certificate_pem: bytes
    private_key_pem: bytes = field(repr=False)


# --- events ------------------------------------------------------------------------------------------------
# Tuples, because the busiest of them comes once for every packet.


class HandshakeCompleted(NamedTuple):
    """TLS is done: ``peer_public_key`` and ``channel_binding`` answer from now on."""

    alpn: str | None


class StreamDataReceived(NamedTuple):
    """The next bytes of a stream, in order."""

    stream_id: int
    data: bytes
    end: bool


class StreamReset(NamedTuple):
    """The peer gave up sending; what had not arrived never will."""

    stream_id: int
    code: int


class SendingStopped(NamedTuple):
    """The peer reads no more of what we send."""

    stream_id: int
    code: int


class DatagramReceived(NamedTuple):
    """An unreliable datagram."""

    data: bytes


class ConnectionIdIssued(NamedTuple):
    """The peer may address us by this id from now on."""

    connection_id: bytes


class ConnectionIdRetired(NamedTuple):
    """The peer no longer uses this id."""

    connection_id: bytes


class ConnectionTerminated(NamedTuple):
    """The connection is over; the last event.

    Attributes:
        code: The error code of the close frame; 0 for none.
        reason: The text of the close frame, as UTF-8 allowed.
        by_application: Whether ``code`` is one of ours, given to ``close``, and not QUIC's own.
        is_idle_timeout: Whether nobody closed it: the peer fell silent.
    """

    code: int
    reason: str
    by_application: bool
    is_idle_timeout: bool


EngineEvent: TypeAlias = (
    HandshakeCompleted
    | StreamDataReceived
    | StreamReset
    | SendingStopped
    | DatagramReceived
    | ConnectionIdIssued
    | ConnectionIdRetired
    | ConnectionTerminated
)


@dataclass(frozen=True, slots=True)
class ConnectionStats:
    """A connection's transport figures at one moment."""

    congestion_window_bytes: int
    bytes_in_flight: int
    smoothed_rtt_s: float | None
    """None before the first measurement."""
    packet_bytes: int
    lost_packets: int | None
    """None where the library does not count them."""
    guarded_errors: int
    """Exceptions of the library that were caught instead of ending the program."""


class EngineConnection(Protocol):
    """One QUIC connection of one library: a state machine that is told what happened and asked what to do.

    ``now`` is monotonic, in seconds, and never decreases. After any call that may cause packets, ``poll`` until it
    returns fewer than asked for, then look at ``get_timer``. Nothing the network sends raises out of a call; misuse
    by the caller (sending on a finished stream) raises ``LocalProtocolError``.
    """

    @property
    def is_client(self) -> bool:
        """Which side this is; it decides the parity of stream ids."""
        ...

    @property
    def host_connection_id(self) -> bytes:
        """The first id by which the peer addresses us."""
        ...

    @property
    def initial_destination_cid(self) -> bytes:
        """The id in the client's first packet, by which a server's router finds the connection it was told of."""
        ...

    @property
    def packet_bytes(self) -> int:
        """The longest packet that the engine makes now."""
        ...

    def lengthen_packets(self, size: int) -> None:
        """Make packets of up to this size, if the library can do that; if not, nothing changes.

        Args:
            size: In bytes, at most ``EngineConfig.max_packet_bytes``. Before the handshake is complete it waits for
                that.
        """
        ...

    def shorten_packets(self, size: int) -> None:
        """Make no packets longer than this, if the library can do that; one of them cannot take it back.

        What is lost of longer ones is sent again in packets of the new size.

        Args:
            size: In bytes, at least ``EngineConfig.packet_bytes``.
        """
        ...

    def wants_idle(self, now: float) -> bool:
        """Whether to wait with more until what it has is sent: it looks for longer packets in idle moments only."""
        ...

    @property
    def loss_mark(self) -> object:
        """Something that changes when packets count as lost or a probe timeout passes; None where nobody tells."""
        ...

    def start(self, now: float) -> None:
        """Begin: a client's first packet is ready to be polled after this; a server just waits."""
        ...

    def receive(self, buffer: bytes, segment_size: int, now: float) -> None:
        """Take datagrams from the network.

        Args:
            buffer: One or more datagrams, each ``segment_size`` bytes, the last possibly shorter.
            segment_size: At least 1.
            now: When they arrived.
        """
        ...

    def poll(self, now: float, limit: int) -> list[bytes]:
        """Take datagrams to send.

        Returns:
            At most about ``limit`` of them (an engine that cannot stop midway may return more); fewer than ``limit``
            when there is nothing more to send for now.
        """
        ...

    def get_timer(self) -> float | None:
        """When ``handle_timer`` must be called next, or None."""
        ...

    def handle_timer(self, now: float) -> None:
        """Act on the timers that are due."""
        ...

    def next_event(self) -> EngineEvent | None:
        """Take the oldest event, or None."""
        ...

    def open_stream(self) -> int:
        """Choose the id of a new bidirectional stream; the peer hears of it with its first bytes."""
        ...

    def send(self, stream_id: int, data: bytes | memoryview, *, end: bool = False) -> None:
        """Queue bytes on a stream; does nothing once the peer has closed the connection.

        Raises:
            LocalProtocolError: The stream takes no more.
        """
        ...

    def reset(self, stream_id: int, code: int) -> None:
        """Give up sending on a stream; a stream that is over is left alone."""
        ...

    def stop(self, stream_id: int, code: int) -> None:
        """Ask the peer to give up sending on a stream; a stream that is over is left alone."""
        ...

    def unsent_bytes(self, stream_id: int | None = None) -> int:
        """How many bytes of a stream, or of all, were never sent yet."""
        ...

    @property
    def congestion_room_bytes(self) -> int:
        """How much more may be in flight now; what is queued beyond it only grows old."""
        ...

    @property
    def max_datagram_payload(self) -> int:
        """The largest payload ``send_datagram`` takes, whatever packets may hold; 0 while the peer takes none."""
        ...

    def send_datagram(self, data: bytes) -> None:
        """Queue an unreliable datagram.

        Raises:
            LocalProtocolError: It is larger than ``max_datagram_payload``.
        """
        ...

    def channel_binding(self) -> bytes:
        """32 bytes that only the two ends of this TLS session know.

        Raises:
            LocalProtocolError: The handshake is not complete.
        """
        ...

    def peer_public_key(self) -> bytes:
        """The raw Ed25519 key (32 bytes) of the certificate the server proved to own; clients only.

        Raises:
            LocalProtocolError: The handshake is not complete, or this is the server.
            IdentityError: The certificate holds another kind of key.
        """
        ...

    def path_changed(self, now: float) -> None:
        """The network below changed to another path: forget what was learnt about the old one and probe."""
        ...

    def path_up(self, now: float) -> None:
        """The network is back after an outage: probe now and not when the backoff ends."""
        ...

    def ping(self) -> None:
        """Send something the peer must acknowledge."""
        ...

    def request_key_update(self) -> None:
        """Change the encryption keys; ignored before the handshake is confirmed."""
        ...

    def close(self, code: int, reason: str, now: float) -> None:
        """Tell the peer that it is over."""
        ...

    @property
    def stats(self) -> ConnectionStats:
        """The transport figures of this moment."""
        ...


class Engine(Protocol):
    """A QUIC library."""

    @property
    def name(self) -> str:
        """``qh3`` or ``aioquic``."""
        ...

    @property
    def version(self) -> str:
        """The library's version."""
        ...

    @property
    def is_tuned(self) -> bool:
        """Whether the adapter knows this version's insides; otherwise it works through the public API only."""
        ...

    def client(self, config: EngineConfig) -> EngineConnection:
        """Make the client's side of a connection; ``start`` begins the handshake."""
        ...

    def server(self, config: EngineConfig, credentials: ServerCredentials, initial_dcid: bytes) -> EngineConnection:
        """Make the server's side of the connection whose first packet carries this destination id.

        Raises:
            IdentityError: The credentials are not a certificate and its key in PEM.
        """
        ...
