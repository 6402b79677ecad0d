"""Cutting a packet in two for a path that does not carry it whole, and joining the pieces.

    first byte 9 | which, 1 byte: 0 or 1 | id, 6 bytes | half of the packet

The length of packets belongs to the QUIC library, which learns of a path late and changes it slowly or not at all; what
a path carries belongs to the path. In between a packet travels in two pieces: before a path has proven to carry it
whole, on a narrow second path, and after a path has become narrow. A packet of which a piece is lost is a lost packet.

The pieces bear no proof of their own: what they are joined to is a QUIC packet, which has one. The id begins at random,
so that who does not see them cannot put a piece of theirs in.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from typing import Final

from p2p.address import TransportAddress
from p2p.defaults import PIECES_WAITING

FIRST_BYTE: Final = 9
"""Of a piece; nobody else's on a socket that is shared with STUN, TURN and QUIC. Source: RFC 9443 section 3."""

_HEADER: Final = struct.Struct("!BBHI")
HEADER_BYTES: Final = _HEADER.size
_ID_BITS: Final = 48
_LEAST: Final = HEADER_BYTES + 1


class PieceCutter:
    """Cuts what is too long. One for each sender; its ids say which pieces belong together."""

    def __init__(self) -> None:
        self._next_id = int.from_bytes(os.urandom(_ID_BITS // 8), "big")

    def cut(self, packets: Sequence[bytes], limit: int) -> tuple[list[bytes], list[int]]:
        """Cut the packets that are longer than a limit.

        Args:
            packets: Each at most twice as long as what a piece holds.
            limit: In bytes, for pieces too.

        Returns:
            Packets and pieces in order, and for each packet how many of these there are up to its end.
        """
        out: list[bytes] = []
        ends: list[int] = []
        for packet in packets:
            if len(packet) <= limit:
                out.append(packet)
            else:
                # Halves of one length share a system call with those of the packets before and after.
                half = (len(packet) + 1) // 2
                high, low = divmod(self._next_id, 1 << 32)
                self._next_id = (self._next_id + 1) % (1 << _ID_BITS)
                out.append(_HEADER.pack(FIRST_BYTE, 0, high, low) + packet[:half])
                out.append(_HEADER.pack(FIRST_BYTE, 1, high, low) + packet[half:])
            ends.append(len(out))
        return out, ends


def size_on(packet: bytes, limit: int) -> int:
    """How many bytes a packet has on a path that carries so many at once."""
    return len(packet) if len(packet) <= limit else len(packet) + 2 * HEADER_BYTES


class PieceJoiner:
    """Joins pieces, of any sender, in any order.

    Args:
        most: How many wait for their other half; one more drops the oldest, so that nobody fills our memory.

    Attributes:
        dropped: Pieces that were malformed, repeated, or waited in vain.
    """

    def __init__(self, most: int = PIECES_WAITING) -> None:
        self.dropped = 0
        self._most = most
        self._waiting: dict[tuple[int, TransportAddress, bytes], tuple[int, bytes]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def join(self, piece: bytes, base_id: int, source: TransportAddress) -> bytes | None:
        """Take a piece; returns the packet once it is complete.

        Args:
            piece: A datagram that begins with ``FIRST_BYTE``.
            base_id: Where it arrived.
            source: Who sent it.
        """
        if len(piece) < _LEAST or piece[1] > 1:
            self.dropped += 1
            return None
        which, half = piece[1], piece[HEADER_BYTES:]
        key = base_id, source, piece[2:HEADER_BYTES]
        other = self._waiting.pop(key, None)
        if other is not None and other[0] != which:
            return half + other[1] if which == 0 else other[1] + half
        if other is not None:
            self.dropped += 1
        elif len(self._waiting) >= self._most:
            del self._waiting[next(iter(self._waiting))]
            self.dropped += 1
        self._waiting[key] = which, half
        return None
