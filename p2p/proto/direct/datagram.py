"""The datagrams of direct signalling: a call, its answer, pieces of messages, receipts.

    0x08 (1) | version (1) | kind (1) | index (1) | count (1) | from the dialer, 0 or 1 (1) | reserved, 0 (2)
    | yours (8) | mine (8) | message id (8) | tag (16) | payload

``yours`` is the cookie that the receiver gave the sender, ``mine`` the one that the sender gives the receiver. The
tag is HMAC-SHA256 over all else, cut to 16 bytes, with a key that follows from the ticket: who has none can neither
make a datagram that is looked at, nor get an answer to one. Which side a datagram is from is part of it, so that nobody
can pass for the other side by giving back what he gets.

The first byte is of the range 4 to 15 that no other protocol on such a socket uses (RFC 9443 section 3).

Source: RFC 2104, RFC 9443.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from p2p.defaults import DIRECT_PIECE_BYTES
from p2p.errors import DecodeError

FIRST_BYTE: Final = 8
VERSION: Final = 1
COOKIE_BYTES: Final = 8
MESSAGE_ID_BYTES: Final = 8
TAG_BYTES: Final = 16
MAX_PIECES: Final = 16
NO_COOKIE: Final = bytes(COOKIE_BYTES)
NO_MESSAGE: Final = bytes(MESSAGE_ID_BYTES)
_HEADER: Final = struct.Struct(f"!6B2x{COOKIE_BYTES}s{COOKIE_BYTES}s{MESSAGE_ID_BYTES}s")
HEADER_BYTES: Final = _HEADER.size + TAG_BYTES
_BITMAP: Final = struct.Struct("!H")
_KEY_LABEL: Final = b"p2p direct signalling v1\0"


class Kind(IntEnum):
    """What a datagram is for."""

    CALL = 1
    """Are you there? The one kind that needs no cookie."""
    HERE = 2
    """Yes: it brings the cookie that everything else needs."""
    PIECE = 3
    """A part of a message."""
    RECEIPT = 4
    """Which parts of a message have arrived."""


@dataclass(frozen=True, slots=True)
class DirectDatagram:
    """One datagram.

    Attributes:
        kind: What it is for.
        yours: The receiver's cookie; zero in a call.
        mine: The sender's cookie, for the receiver to use.
        message_id: The message that a piece or a receipt belongs to.
        index: Which piece, from 0.
        count: How many pieces there are, 1 to 16.
        payload: The piece, or the receipt's bitmap.
        from_dialer: Which side sends it.
    """

    kind: Kind
    yours: bytes = field(default=NO_COOKIE, repr=False)
    mine: bytes = field(default=NO_COOKIE, repr=False)
    message_id: bytes = NO_MESSAGE
    index: int = 0
    count: int = 0
    payload: bytes = b""
    from_dialer: bool = False

    @property
    def received(self) -> int:
        """A receipt's bitmap: bit 0 stands for the first piece."""
        return int(_BITMAP.unpack(self.payload)[0]) if self.kind is Kind.RECEIPT else 0


def receipt_payload(received: int) -> bytes:
    """Write a receipt's bitmap.

    Args:
        received: Bit 0 stands for the first piece.
    """
    return _BITMAP.pack(received)


def derive_key(secret: bytes, exposer: bytes, service: str) -> bytes:
    """Derive the key of the tags from what a ticket holds.

    Args:
        secret: The ticket's secret.
        exposer: The exposer's public key.
        service: The service that the ticket names.

    Returns:
        32 bytes, from which the secret does not follow.
    """
    return hmac.digest(secret, _KEY_LABEL + exposer + service.encode(), hashlib.sha256)


def encode(datagram: DirectDatagram, key: bytes) -> bytes:
    """Write a datagram.

    Args:
        datagram: What to write.
        key: From ``derive_key``.
    """
    header = _HEADER.pack(
        FIRST_BYTE,
        VERSION,
        datagram.kind,
        datagram.index,
        datagram.count,
        datagram.from_dialer,
        datagram.yours,
        datagram.mine,
        datagram.message_id,
    )
    return b"".join((header, _tag(key, header, datagram.payload), datagram.payload))


def decode_untrusted(data: bytes, key: bytes) -> DirectDatagram:
    """Read a datagram, and see that its sender holds the ticket.

    What follows in a call, an answer to one or a receipt is for later versions, and is dropped.

    Args:
        data: What arrived.
        key: From ``derive_key``.

    Raises:
        DecodeError: It is none, of another version, or its tag was made with another key.
    """
    if len(data) < HEADER_BYTES:
        raise DecodeError("shorter than the header of direct signalling")
    first, version, number, index, count, side, yours, mine, message_id = _HEADER.unpack_from(data)
    if first != FIRST_BYTE or version != VERSION:
        raise DecodeError(f"direct signalling of version {version}")
    header, tag, payload = data[: _HEADER.size], data[_HEADER.size : HEADER_BYTES], data[HEADER_BYTES:]
    if not hmac.compare_digest(tag, _tag(key, header, payload)):
        raise DecodeError("direct signalling with another ticket")
    try:
        kind = Kind(number)
    except ValueError as error:
        raise DecodeError(f"direct signalling of kind {number}") from error
    if kind is Kind.PIECE:
        if not (index < count <= MAX_PIECES and 0 < len(payload) <= DIRECT_PIECE_BYTES):
            raise DecodeError(f"piece {index} of {count} with {len(payload)} bytes")
    elif kind is Kind.RECEIPT:
        if len(payload) < _BITMAP.size:
            raise DecodeError("a receipt without a bitmap")
        payload = payload[: _BITMAP.size]
    else:
        payload = b""
    return DirectDatagram(kind, yours, mine, message_id, index, count, payload, bool(side))


def _tag(key: bytes, header: bytes, payload: bytes) -> bytes:
    return hmac.digest(key, header + payload, hashlib.sha256)[:TAG_BYTES]
