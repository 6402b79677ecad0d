"""Keys, message integrity and fingerprints.

Source: RFC 8489 sections 9 (credentials), 14.5 to 14.7 (attributes), RFC 8265 (preparation of text).
"""

from __future__ import annotations

import enum
import hashlib
import hmac
import struct
import unicodedata
import zlib
from typing import TYPE_CHECKING, Final

from p2p.errors import IntegrityError, LocalProtocolError
from p2p.proto.stun.attributes.base import (
    MD5_ALGORITHM,
    MESSAGE_INTEGRITY,
    MESSAGE_INTEGRITY_SHA256,
    SHA256_ALGORITHM,
    PasswordAlgorithm,
)

if TYPE_CHECKING:
    from p2p.proto.stun.message import Message

_FINGERPRINT_XOR: Final = 0x5354554E
_HEADER_BYTES: Final = 20


class IntegrityAlgorithm(enum.Enum):
    """Which of the two integrity attributes protects a message; the value is the name of the hash."""

    SHA1 = "sha1"
    SHA256 = "sha256"


_ATTRIBUTE_HEADER: Final = {
    IntegrityAlgorithm.SHA1: struct.pack("!HH", MESSAGE_INTEGRITY.type, 20),
    IntegrityAlgorithm.SHA256: struct.pack("!HH", MESSAGE_INTEGRITY_SHA256.type, 32),
}


# --- Keys --------------------------------------------------------------------------------------------------
def prepare(text: str) -> str:
    """Bring a user name or password into its comparable form, the OpaqueString profile.

    Args:
        text: As a person typed it.

    Returns:
        The text with every kind of space made an ASCII space, in Unicode form NFC.

    Source: RFC 8265 section 4.2, RFC 8489 section 9.2.2.
    """
    if text.isascii():
        return text
    return unicodedata.normalize("NFC", "".join(" " if unicodedata.category(c) == "Zs" else c for c in text))


def short_term_key(password: str) -> bytes:
    """Make the key of the short-term mechanism, which connectivity checks use.

    Args:
        password: The password of the receiver.

    Source: RFC 8489 section 9.1.1.
    """
    return prepare(password).encode()


def long_term_key(username: str, realm: str, password: str, algorithm: PasswordAlgorithm = MD5_ALGORITHM) -> bytes:
    """Make the key of the long-term mechanism, which TURN uses.

    Args:
        username: The user's name.
        realm: What the server calls its domain, without quotes.
        password: The user's password.
        algorithm: ``MD5_ALGORITHM``, or ``SHA256_ALGORITHM`` where both sides know it.

    Returns:
        16 bytes for MD5, 32 for SHA-256.

    Raises:
        LocalProtocolError: The algorithm is neither of the two.

    Source: RFC 8489 sections 9.2.2 and 18.5.1.
    """
    text = f"{prepare(username)}:{prepare(realm)}:{prepare(password)}".encode()
    if algorithm.number == MD5_ALGORITHM.number:
        return hashlib.md5(text, usedforsecurity=False).digest()
    if algorithm.number == SHA256_ALGORITHM.number:
        return hashlib.sha256(text).digest()
    raise LocalProtocolError(f"unknown password algorithm {algorithm.number}")


def user_hash(username: str, realm: str) -> bytes:
    """Make the value of USERHASH, which hides the user's name from onlookers.

    Source: RFC 8489 section 14.4.
    """
    return hashlib.sha256(f"{prepare(username)}:{prepare(realm)}".encode()).digest()


# --- Integrity ---------------------------------------------------------------------------------------------
def _digest(data: bytes, end: int, attribute_bytes: int, key: bytes, algorithm: IntegrityAlgorithm) -> bytes:
    """MAC the first ``end`` bytes as if the message stopped right behind the integrity attribute."""
    length = end - _HEADER_BYTES + attribute_bytes
    covered = b"".join((data[:2], length.to_bytes(2, "big"), data[4:end]))
    return hmac.digest(key, covered, algorithm.value)


def integrity_attribute(data: bytes, key: bytes, algorithm: IntegrityAlgorithm) -> bytes:
    """Make the integrity attribute for a message, to be appended to it.

    Args:
        data: Header and attributes so far; what its length field says does not matter.
        key: From ``short_term_key`` or ``long_term_key``.
        algorithm: Which of the two attributes.
    """
    header = _ATTRIBUTE_HEADER[algorithm]
    return header + _digest(data, len(data), 4 + header[3], key, algorithm)


def verify(message: Message, key: bytes, algorithm: IntegrityAlgorithm | None = None) -> None:
    """Check the integrity of a message over the very bytes that arrived.

    Args:
        message: From ``decode_untrusted``.
        key: From ``short_term_key`` or ``long_term_key``.
        algorithm: The attribute that must be there; None takes the stronger one that is.

    Raises:
        IntegrityError: The attribute is missing, is cut short, or does not match.

    Source: RFC 8489 sections 14.5 and 14.6; no usage of ours allows truncation.
    """
    at = message.integrity_sha256_at if algorithm is not IntegrityAlgorithm.SHA1 else 0
    if at:
        algorithm = IntegrityAlgorithm.SHA256
    elif algorithm is not IntegrityAlgorithm.SHA256:
        algorithm = IntegrityAlgorithm.SHA1
        at = message.integrity_at
    if not at:
        raise IntegrityError("the message carries no integrity that could be checked")
    raw = message.raw
    header = _ATTRIBUTE_HEADER[algorithm]
    if raw[at : at + 4] != header:
        raise IntegrityError("the message integrity is truncated")
    size = header[3]
    if not hmac.compare_digest(raw[at + 4 : at + 4 + size], _digest(raw, at, 4 + size, key, algorithm)):
        raise IntegrityError("the message integrity does not match")


def fingerprint_value(data: bytes) -> int:
    """Make the value of FINGERPRINT.

    Args:
        data: The message up to the attribute, its length field already counting the attribute.

    Source: RFC 8489 section 14.7.
    """
    return zlib.crc32(data) ^ _FINGERPRINT_XOR
