"""The two sides a QUIC connection talks to: the path below it and the application above it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from p2p.errors import P2PError


class DatagramLink(Protocol):
    """What carries a connection's packets; the path manager implements it.

    A link that has no path at the moment swallows what it is given and counts it: for QUIC that is packet loss.
    """

    def send(self, datagrams: Sequence[bytes]) -> int:
        """Send datagrams in order.

        Returns:
            How many are dealt with; the rest is given again after ``call_when_writable`` called back.
        """
        ...

    def call_when_writable(self, callback: Callable[[], object]) -> None:
        """Call back once, from the loop, when ``send`` takes datagrams again."""
        ...

    def packets_lost(self) -> None:
        """Learn that packets did not arrive, as far as the engine can tell."""
        ...


class StreamHandler(Protocol):
    """What happens on a connection. All calls come from the event loop, none from inside a call to the connection.

    An exception out of a handler is a bug; it is logged and closes the connection.
    """

    def handshake_completed(self) -> None:
        """The session is encrypted and, on the client, the server's key is the expected one."""
        ...

    def stream_data_received(self, stream_id: int, data: bytes, end: bool) -> None:
        """The next bytes of a stream, in order; ``end`` comes once, possibly without bytes."""
        ...

    def stream_reset(self, stream_id: int, code: int) -> None:
        """The peer gave up sending on a stream."""
        ...

    def sending_stopped(self, stream_id: int, code: int) -> None:
        """The peer reads no more of a stream."""
        ...

    def datagram_received(self, data: bytes) -> None:
        """An unreliable datagram."""
        ...

    def writable(self) -> bool:
        """The engine has sent what it may send now: feed it more.

        Returns:
            Whether anything was written; then the connection sends it and asks again.
        """
        ...

    def connection_lost(self, error: P2PError) -> None:
        """The connection is over; the last call, and made exactly once."""
        ...
