"""Telling apart the protocols that share one UDP socket, by the first byte of a datagram.

    first byte     protocol
    0 to 3         STUN
    8              direct signalling, from peer to peer
    9              half of a QUIC packet, for a path that does not carry it whole
    64 to 127      QUIC, short header; from a relay's address 64 to 79 is TURN ChannelData
    192 to 255     QUIC, long header
    other          nothing of ours

Source: RFC 7983, updated by RFC 9443.
"""

from __future__ import annotations

from collections.abc import Iterator

from p2p.path import pieces
from p2p.proto.direct import FIRST_BYTE

Buffer = bytes | memoryview

STUN_BELOW = 4
QUIC_BIT = 0x40


def is_stun(first_byte: int) -> bool:
    """Whether a datagram that begins with this byte is STUN."""
    return first_byte < STUN_BELOW


def is_direct_signalling(first_byte: int) -> bool:
    """Whether a datagram that begins with this byte is signalling from peer to peer."""
    return first_byte == FIRST_BYTE


def is_piece(first_byte: int) -> bool:
    """Whether a datagram that begins with this byte is half of a QUIC packet."""
    return first_byte == pieces.FIRST_BYTE


def is_quic(first_byte: int) -> bool:
    """Whether a datagram that begins with this byte is QUIC, given that it does not come from a relay."""
    return bool(first_byte & QUIC_BIT)


def runs(buffer: Buffer, segment_size: int) -> Iterator[tuple[Buffer, bool]]:
    """Cut a received batch into runs of QUIC datagrams and single datagrams of anything else.

    The kernel joins datagrams of one source whatever their protocol, so that a connectivity check may sit in the
    middle of a batch of QUIC packets.

    Args:
        buffer: Datagrams of ``segment_size`` bytes one behind the other, the last one possibly shorter.
        segment_size: 1 to 65,535.

    Yields:
        A part of the buffer, and whether it is a run of QUIC datagrams (of ``segment_size`` bytes each but the
        last) rather than one datagram of another protocol.
    """
    size = len(buffer)
    if size <= segment_size:
        yield buffer, is_quic(buffer[0])
        return
    firsts = bytes(buffer[::segment_size])
    if all(map(is_quic, set(firsts))):
        yield buffer, True
        return
    start: int | None = None
    for index, first in enumerate(firsts):
        offset = index * segment_size
        if is_quic(first):
            start = offset if start is None else start
            continue
        if start is not None:
            yield buffer[start:offset], True
            start = None
        yield buffer[offset : offset + segment_size], False
    if start is not None:
        yield buffer[start:], True
