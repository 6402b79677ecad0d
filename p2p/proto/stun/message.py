"""STUN messages and their bytes.

    0                   1                   2                   3
    |0 0|  class and method (14)   |      length of what follows     |
    |                     magic cookie 0x2112A442                    |
    |                     transaction id (96 bits)                   |
    |  attribute type (16)         |  length without padding (16)    |
    |  value, padded to a multiple of four bytes ...                 |

A classic message (RFC 3489) has no cookie: its transaction id is the 16 bytes after the length.

Source: RFC 8489 sections 5 and 14.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final, TypeAlias, TypeVar

from p2p.defaults import STUN_MAX_ATTRIBUTES
from p2p.errors import DecodeError, LocalProtocolError
from p2p.proto.stun.attributes import BY_TYPE, ERROR_CODE, Attribute, ErrorCodeValue
from p2p.proto.stun.attributes.base import FINGERPRINT, MESSAGE_INTEGRITY, MESSAGE_INTEGRITY_SHA256
from p2p.proto.stun.integrity import IntegrityAlgorithm, fingerprint_value, integrity_attribute

T = TypeVar("T")
AttributeValue: TypeAlias = tuple[Attribute[Any], Any]

MAGIC_COOKIE: Final = b"\x21\x12\xa4\x42"
HEADER_BYTES: Final = 20
TRANSACTION_ID_BYTES: Final = 12
CLASSIC_TRANSACTION_ID_BYTES: Final = 16

_HEADER: Final = struct.Struct("!HH")
_FINGERPRINT: Final = struct.Struct("!HHI")
_COMPREHENSION_OPTIONAL: Final = 0x8000


class MessageClass(IntEnum):
    """What kind of message it is."""

    REQUEST = 0
    INDICATION = 1
    SUCCESS = 2
    ERROR = 3


class Method(IntEnum):
    """What the message is about. Source: RFC 8489, RFC 8656 section 17, RFC 6062 section 6.1."""

    BINDING = 1
    ALLOCATE = 3
    REFRESH = 4
    SEND = 6
    DATA = 7
    CREATE_PERMISSION = 8
    CHANNEL_BIND = 9
    CONNECT = 10
    CONNECTION_BIND = 11
    CONNECTION_ATTEMPT = 12


_CLASSES: Final = tuple(MessageClass)


@dataclass(frozen=True, slots=True)
class Message:
    """One STUN message.

    Attributes:
        message_class: Request, indication, success or error.
        method: A number of ``Method``, or one that nobody here knows; at most 0xFFF.
        transaction_id: 12 bytes, or 16 for a classic message.
        attributes: Known attributes and their values, in order, repeated ones included.
        unknown_required: Types below 0x8000 that nobody here knows: a request with any is answered with 420.
        raw: What was decoded; empty for a message made here. Does not count in comparisons.
        integrity_at: Where MESSAGE-INTEGRITY starts in ``raw``; 0 when absent.
        integrity_sha256_at: Where MESSAGE-INTEGRITY-SHA256 starts in ``raw``; 0 when absent.
    """

    message_class: MessageClass
    method: int
    transaction_id: bytes
    attributes: tuple[AttributeValue, ...] = ()
    unknown_required: tuple[int, ...] = ()
    raw: bytes = field(default=b"", compare=False, repr=False)
    integrity_at: int = field(default=0, compare=False, repr=False)
    integrity_sha256_at: int = field(default=0, compare=False, repr=False)

    def get(self, attribute: Attribute[T]) -> T | None:
        """Return the value of an attribute, the first when it is repeated, None when it is absent."""
        for known, value in self.attributes:
            if known is attribute:
                return value  # type: ignore[no-any-return]
        return None

    def values(self, attribute: Attribute[T]) -> tuple[T, ...]:
        """Return the values of an attribute that may be repeated, such as XOR-PEER-ADDRESS."""
        return tuple(value for known, value in self.attributes if known is attribute)

    @property
    def is_classic(self) -> bool:
        """Whether it is a message of RFC 3489, without the magic cookie."""
        return len(self.transaction_id) == CLASSIC_TRANSACTION_ID_BYTES

    @property
    def has_integrity(self) -> bool:
        """Whether the decoded message carries an integrity attribute, right or wrong."""
        return bool(self.integrity_at or self.integrity_sha256_at)

    def success_response(self, *attributes: AttributeValue) -> Message:
        """Make the success response to this request."""
        return Message(MessageClass.SUCCESS, self.method, self.transaction_id, attributes)

    def error_response(self, code: int, reason: str, *attributes: AttributeValue) -> Message:
        """Make the error response to this request.

        Args:
            code: 300 to 699.
            reason: Text for people.
            attributes: What follows ERROR-CODE.
        """
        error = ERROR_CODE(ErrorCodeValue(code, reason))
        return Message(MessageClass.ERROR, self.method, self.transaction_id, (error, *attributes))


def is_stun(data: bytes | memoryview) -> bool:
    """Tell cheaply whether a datagram is meant to be STUN; it may still not decode.

    Classic messages, which nothing sets apart, do not count.

    Source: RFC 7983 section 7, RFC 8489 section 5.
    """
    return len(data) >= HEADER_BYTES and data[0] < 4 and data[4:8] == MAGIC_COOKIE


def encode(
    message: Message,
    *,
    integrity_key: bytes | None = None,
    integrity: IntegrityAlgorithm = IntegrityAlgorithm.SHA1,
    fingerprint: bool = False,
) -> bytes:
    """Write a message.

    Args:
        message: What to write.
        integrity_key: Adds an integrity attribute made with this key.
        integrity: Which integrity attribute.
        fingerprint: Whether FINGERPRINT comes last.

    Raises:
        LocalProtocolError: A value does not fit its attribute, or the message its length field.
    """
    transaction_id = message.transaction_id
    if len(transaction_id) == TRANSACTION_ID_BYTES:
        mask = MAGIC_COOKIE + transaction_id
    elif len(transaction_id) == CLASSIC_TRANSACTION_ID_BYTES:
        mask = transaction_id
    else:
        raise LocalProtocolError(f"a transaction id has 12 or 16 bytes, not {len(transaction_id)}")
    parts = []
    for attribute, value in message.attributes:
        data = attribute.codec.encode(value, mask)
        size = len(data)
        if size > 0xFFFF:
            raise LocalProtocolError(f"{attribute.name} of {size} bytes")
        parts.append(_HEADER.pack(attribute.type, size))
        parts.append(data)
        if size & 3:
            parts.append(bytes(-size & 3))
    body = b"".join(parts)
    kind = _type_number(message.message_class, message.method)
    if integrity_key is not None:
        body += integrity_attribute(_head(kind, len(body), mask) + body, integrity_key, integrity)
    if not fingerprint:
        return _head(kind, len(body), mask) + body
    covered = _head(kind, len(body) + 8, mask) + body
    return covered + _FINGERPRINT.pack(FINGERPRINT.type, 4, fingerprint_value(covered))


def _type_number(message_class: int, method: int) -> int:
    """Weave the two bits of the class into the twelve of the method."""
    if not 0 <= method <= 0xFFF:
        raise LocalProtocolError(f"not a STUN method: {method}")
    return (
        (method & 0x00F)
        | (method & 0x070) << 1
        | (method & 0xF80) << 2
        | (message_class & 1) << 4
        | (message_class & 2) << 7
    )


def _head(kind: int, length: int, mask: bytes) -> bytes:
    if length > 0xFFFF:
        raise LocalProtocolError(f"a message of {length} bytes")
    return _HEADER.pack(kind, length) + mask


def decode_untrusted(data: bytes | memoryview) -> Message:
    """Read a message that came from the network.

    What follows MESSAGE-INTEGRITY is ignored, but for MESSAGE-INTEGRITY-SHA256 and FINGERPRINT: nothing
    vouches for it. A FINGERPRINT, when there is one, is checked. Integrity is not: see ``integrity.verify``.

    Args:
        data: One whole message and nothing else.

    Raises:
        DecodeError: The bytes are no STUN message, of RFC 8489 or of RFC 3489.

    Source: RFC 8489 sections 5, 6.3, 14 and 14.5 to 14.7.
    """
    raw = bytes(data)
    size = len(raw)
    if size < HEADER_BYTES:
        raise DecodeError("shorter than a STUN header")
    kind, length = _HEADER.unpack_from(raw)
    if kind > 0x3FFF:
        raise DecodeError("not a STUN message type")
    if length != size - HEADER_BYTES or length & 3:
        raise DecodeError("the STUN length does not match the datagram")
    mask = raw[4:HEADER_BYTES]
    attributes: list[AttributeValue] = []
    unknown: list[int] = []
    integrity_at = integrity_sha256_at = 0
    at = HEADER_BYTES
    for _ in range(STUN_MAX_ATTRIBUTES):
        if at >= size:
            break
        attribute_type, value_bytes = _HEADER.unpack_from(raw, at)
        start = at
        at += 4 + value_bytes
        if at > size:
            raise DecodeError("STUN attribute cut short")
        value = raw[start + 4 : at]
        at += -value_bytes & 3
        attribute = BY_TYPE.get(attribute_type)
        if integrity_at or integrity_sha256_at:
            sha256_comes_late = attribute is MESSAGE_INTEGRITY_SHA256 and not integrity_sha256_at
            if not sha256_comes_late and attribute is not FINGERPRINT:
                continue
        if attribute is None:
            if attribute_type < _COMPREHENSION_OPTIONAL:
                unknown.append(attribute_type)
            continue
        attributes.append((attribute, attribute.codec.decode(value, mask)))
        if attribute is MESSAGE_INTEGRITY:
            integrity_at = start
        elif attribute is MESSAGE_INTEGRITY_SHA256:
            integrity_sha256_at = start
        elif attribute is FINGERPRINT and (at != size or attributes[-1][1] != fingerprint_value(raw[:start])):
            raise DecodeError("the STUN fingerprint does not match or is not last")
    else:
        if at < size:
            raise DecodeError(f"more than {STUN_MAX_ATTRIBUTES} STUN attributes")
    return Message(
        _CLASSES[(kind >> 4 & 1) | (kind >> 7 & 2)],
        (kind & 0x000F) | (kind >> 1 & 0x0070) | (kind >> 2 & 0x0F80),
        mask[4:] if mask[:4] == MAGIC_COOKIE else mask,
        tuple(attributes),
        tuple(unknown),
        raw,
        integrity_at,
        integrity_sha256_at,
    )
