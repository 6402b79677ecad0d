"""A knock: an offer that goes to the exposer before its dialer has a connection to the rendezvous.

The exposer hangs a *bell* when it publishes its service: a key that it has made of the ticket's secret, so that every
holder of the ticket can make it too. Whoever knows the key knocks by UDP, and the server passes the knock on. Each
piece is the value of the attribute KNOCK in a STUN Binding request:

    bell (16 bytes) | nonce (32) | number of the piece, from 0 (1) | of how many (1) | part of the body | MAC (16)

    bell key  = HMAC-SHA256(ticket's secret, "p2p bell v1" 0x00 | exposer's Ed25519 key | service)
    bell      = the first 16 bytes of HMAC-SHA256(bell key, "p2p bell name v1" 0x00 | exposer's Ed25519 key)
    MAC       = the first 16 bytes of HMAC-SHA256(bell key, "p2p knock v1" 0x00 | all of the piece before it)

The nonce is that of an early login, with the time in it, and the same in all pieces of one knock. The body is sealed to
the exposer: on the way, and at the server, a knock shows the bell, the time, and nothing of the dialer but its address.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final, NamedTuple

from p2p.errors import DecodeError, IntegrityError, LocalProtocolError
from p2p.proto.signalling.messages import NONCE_BYTES

BELL_KEY_BYTES: Final = 32
BELL_NAME_BYTES: Final = 16
KNOCK_PIECES_MAX: Final = 5
"""An offer with a dozen addresses takes two, one with as many as fit a message takes five."""
PIECE_PART_BYTES: Final = 1106
"""A piece with all of STUN, UDP and IPv6 around it has 1,244 bytes: IPv6 carries that everywhere in one packet."""

_KEY_LABEL: Final = b"p2p bell v1\0"
_NAME_LABEL: Final = b"p2p bell name v1\0"
_MAC_LABEL: Final = b"p2p knock v1\0"
_MAC_BYTES: Final = 16
_HEADER_BYTES: Final = BELL_NAME_BYTES + NONCE_BYTES + 2


class Piece(NamedTuple):
    """One piece of a knock, not verified.

    Attributes:
        bell: The name of the bell.
        nonce: Tells one knock from all others, and when it was made.
        position: Which piece it is, from 0.
        total: Of how many.
        part: Its part of the body.
        signed: What the MAC covers.
        mac: The MAC.
    """

    bell: bytes
    nonce: bytes
    position: int
    total: int
    part: bytes
    signed: bytes
    mac: bytes


def bell_key(secret: bytes, exposer_id: bytes, service: str) -> bytes:
    """Make the key of a service's bell, which tells nothing of the secret.

    Args:
        secret: The ticket's.
        exposer_id: The exposer's public key.
        service: The service's name.
    """
    return hmac.digest(secret, _KEY_LABEL + exposer_id + service.encode(), hashlib.sha256)


def bell_name(key: bytes, exposer_id: bytes) -> bytes:
    """Name a bell. Nobody but the owner of that key can hang one of this name, for the server makes names itself.

    Args:
        key: The bell's.
        exposer_id: The public key of whoever hangs it.
    """
    return hmac.digest(key, _NAME_LABEL + exposer_id, hashlib.sha256)[:BELL_NAME_BYTES]


def make_pieces(key: bytes, exposer_id: bytes, nonce: bytes, body: bytes) -> tuple[bytes, ...]:
    """Cut a knock into pieces.

    Args:
        key: The bell's.
        exposer_id: The exposer's public key.
        nonce: From ``early_login.make_nonce``, never used before.
        body: Sealed.

    Raises:
        LocalProtocolError: The body is empty or does not fit ``KNOCK_PIECES_MAX`` pieces.
    """
    parts = [body[start : start + PIECE_PART_BYTES] for start in range(0, len(body), PIECE_PART_BYTES)]
    if not 1 <= len(parts) <= KNOCK_PIECES_MAX:
        raise LocalProtocolError(f"a knock with a body of {len(body)} bytes")
    header = bell_name(key, exposer_id) + nonce
    signed = [header + bytes((position, len(parts))) + part for position, part in enumerate(parts)]
    return tuple(each + _mac(key, each) for each in signed)


def decode_piece_untrusted(data: bytes) -> Piece:
    """Read a piece; ``verify_piece`` follows when the bell's key is known.

    Raises:
        DecodeError: It is none.
    """
    if not _HEADER_BYTES + _MAC_BYTES < len(data) <= _HEADER_BYTES + PIECE_PART_BYTES + _MAC_BYTES:
        raise DecodeError(f"a piece of a knock with {len(data)} bytes")
    signed, mac = data[:-_MAC_BYTES], data[-_MAC_BYTES:]
    position, total = signed[_HEADER_BYTES - 2 : _HEADER_BYTES]
    if not 1 <= total <= KNOCK_PIECES_MAX or position >= total:
        raise DecodeError(f"piece {position} of a knock of {total}")
    nonce = signed[BELL_NAME_BYTES : BELL_NAME_BYTES + NONCE_BYTES]
    return Piece(signed[:BELL_NAME_BYTES], nonce, position, total, signed[_HEADER_BYTES:], signed, mac)


def verify_piece(piece: Piece, key: bytes) -> None:
    """Check that a piece was made with the bell's key.

    Raises:
        IntegrityError: It was not, or has been changed.
    """
    if not hmac.compare_digest(_mac(key, piece.signed), piece.mac):
        raise IntegrityError("a knock by somebody who does not know the bell's key")


def _mac(key: bytes, signed: bytes) -> bytes:
    return hmac.digest(key, _MAC_LABEL + signed, hashlib.sha256)[:_MAC_BYTES]
