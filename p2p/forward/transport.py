"""What forwarding needs of the QUIC connection under it, and what that connection calls back.

Both are structural: whatever has these methods will do, and nothing here imports a QUIC engine.
"""

from __future__ import annotations

from typing import Protocol

from p2p.errors import P2PError


class StreamTransport(Protocol):
    """One established or still opening QUIC connection, as seen by the multiplexer.

    Nothing blocks: ``send`` queues, and ``kick`` has what was queued sent soon.
    """

    @property
    def is_closed(self) -> bool:
        """Whether the connection is over, or about to be; then nothing but ``close`` may be called."""
        ...

    def open_stream(self) -> int:
        """Take the next bidirectional stream id of our own."""
        ...

    def send(self, stream_id: int, data: bytes | memoryview, end: bool = False) -> None:
        """Queue bytes; the buffer belongs to the caller again once this returns.

        Args:
            stream_id: A stream of either side.
            data: May be empty, for the end alone.
            end: Whether these are the last bytes.
        """
        ...

    def reset(self, stream_id: int, code: int) -> None:
        """Give up sending on a stream."""
        ...

    def stop(self, stream_id: int, code: int) -> None:
        """Ask the other side to give up sending on a stream."""
        ...

    @property
    def max_datagram_payload(self) -> int:
        """The largest payload that ``send_datagram`` takes now; 0 if it takes none."""
        ...

    @property
    def datagrams_dropped(self) -> int:
        """Datagrams that were given up because they could not leave in time."""
        ...

    def send_datagram(self, data: bytes) -> None:
        """Queue a QUIC datagram; under congestion those that wait for longest are dropped."""
        ...

    def unsent_bytes(self) -> int:
        """How many queued bytes, of all streams together, were never sent."""
        ...

    def kick(self) -> None:
        """Send what is queued in this or the next iteration of the event loop."""
        ...

    def close(self, code: int, reason: str) -> None:
        """End the connection at once; bytes that were not delivered are lost."""
        ...


class StreamHandler(Protocol):
    """What the connection tells. No method may raise."""

    def handshake_completed(self) -> None:
        """The connection is up and the server's certificate is known."""
        ...

    def stream_data_received(self, stream_id: int, data: bytes, end: bool) -> None:
        """The next bytes of a stream, in order; ``end`` with the last, which may be empty."""
        ...

    def stream_reset(self, stream_id: int, code: int) -> None:
        """The other side gave up sending on a stream."""
        ...

    def sending_stopped(self, stream_id: int, code: int) -> None:
        """The other side does not want what we send on a stream."""
        ...

    def datagram_received(self, data: bytes) -> None:
        """A QUIC datagram."""
        ...

    def writable(self) -> bool:
        """The engine has sent what it may: queue more now.

        Returns:
            Whether anything was queued.
        """
        ...

    def connection_lost(self, error: P2PError) -> None:
        """The connection is gone; nothing more is called."""
        ...
