"""Finding the connection a packet belongs to, when many share a socket.

    short header   0 | ... , then our connection id, 8 bytes
    long header    1 | type ..., version 4 bytes, length of destination id, destination id

Only ids that we gave out, or were told of by an authenticated offer, are known here. Whatever else arrives is dropped
before any QUIC library sees it.

Source: RFC 8999 (what holds for every version), RFC 9000 section 17.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from p2p.quic.connection import QuicConnection
from p2p.quic.engine import CONNECTION_ID_BYTES

_LONG_HEADER: Final = 0x80
_SHORT_END: Final = 1 + CONNECTION_ID_BYTES
_LONG_ID_START: Final = 6
_LEAST_LONG: Final = _LONG_ID_START + 1


@dataclass(slots=True)
class RoutingStats:
    """What a router dropped; plain counters."""

    malformed: int = 0
    """Too short to hold a connection id."""
    unknown_initials: int = 0
    """Attempts to open a connection that nobody announced."""
    unknown_ids: int = 0
    """Late packets of connections that are gone, and noise."""


def destination_cid(datagram: bytes) -> bytes | None:
    """Read the destination connection id of a datagram's first packet; None if it is too short to have one."""
    if not datagram:
        return None
    if not datagram[0] & _LONG_HEADER:
        return datagram[1:_SHORT_END] if len(datagram) >= _SHORT_END else None
    if len(datagram) < _LEAST_LONG:
        return None
    end = _LONG_ID_START + datagram[_LONG_ID_START - 1]
    return datagram[_LONG_ID_START:end] if len(datagram) >= end else None


def _have_one_id(buffer: bytes, segment_size: int) -> bool:
    """Whether every segment, all of them with short headers, has the first one's connection id.

    Looks at the bytes of one place in all segments at once, which costs a tenth of looking at every segment.
    """
    segments = -(-len(buffer) // segment_size)
    for place in range(1, _SHORT_END):  # noqa: SIM110  # runs for every batch, and a generator costs twice
        if buffer[place::segment_size] != buffer[place : place + 1] * segments:
            return False
    return True


class CidRouter:
    """Gives packets to connections by destination connection id.

    Concurrency: one event loop. ``receive`` for every batch of a wake-up, then ``after_receive`` once.
    """

    def __init__(self) -> None:
        self.stats = RoutingStats()
        self._connections: dict[bytes, QuicConnection] = {}
        self._attached: set[QuicConnection] = set()
        self._touched: dict[QuicConnection, None] = {}

    def __len__(self) -> int:
        return len(self._attached)

    def attach(self, connection: QuicConnection) -> None:
        """Route to a connection from now on, until it is closed.

        Args:
            connection: A client's, or a server's that was announced by its client's first destination id.
        """

        def add(connection_id: bytes) -> None:
            self._connections[connection_id] = connection

        def retire(connection_id: bytes) -> None:
            self._connections.pop(connection_id, None)
            if not connection.connection_ids:
                self._attached.discard(connection)
                self._touched.pop(connection, None)

        self._attached.add(connection)
        connection.on_cid_added = add
        connection.on_cid_retired = retire
        for connection_id in connection.connection_ids:
            add(connection_id)

    def route(self, datagram: bytes) -> QuicConnection | None:
        """Find the connection of one datagram; None, counted, for one that is nobody's."""
        connection_id = destination_cid(datagram)
        if connection_id is None:
            self.stats.malformed += 1
            return None
        connection = self._connections.get(connection_id)
        if connection is None:
            # Only the first packet type opens a connection: two bits of zero. Source: RFC 9000 section 17.2.
            if datagram[0] & 0xB0 == _LONG_HEADER:
                self.stats.unknown_initials += 1
            else:
                self.stats.unknown_ids += 1
        return connection

    def receive(self, buffer: bytes, segment_size: int, now: float) -> QuicConnection | None:
        """Give a batch to its connections; one source may have several, and the kernel joins by source alone.

        Args:
            buffer: One or more QUIC datagrams of ``segment_size`` bytes, the last possibly shorter.
            segment_size: At least 1.
            now: When they arrived, on the loop's clock.

        Returns:
            The connection of the first datagram that has one: the source is its peer's, in all likelihood.
        """
        if len(buffer) <= segment_size or self._is_one_run(buffer, segment_size):
            return self._give(buffer, segment_size, now)
        first: QuicConnection | None = None
        for start in range(0, len(buffer), segment_size):
            connection = self._give(buffer[start : start + segment_size], segment_size, now)
            first = first or connection
        return first

    def _is_one_run(self, buffer: bytes, segment_size: int) -> bool:
        """Whether all segments are for the connection of the first one."""
        if max(buffer[::segment_size]) & _LONG_HEADER:
            return False
        if len(self._attached) == 1 and buffer[1:_SHORT_END] in self._connections:
            # There is nobody else to give the others to; the engine drops what has a foreign id.
            return True
        return _have_one_id(buffer, segment_size)

    def _give(self, run: bytes, segment_size: int, now: float) -> QuicConnection | None:
        connection = self.route(run)
        if connection is not None:
            connection.receive(run, segment_size, now)
            self._touched[connection] = None
        return connection

    def after_receive(self, now: float) -> None:
        """Let every connection that received something act on it.

        Args:
            now: The loop's time at the wake-up.
        """
        touched, self._touched = self._touched, {}
        for connection in touched:
            connection.after_receive(now)
