"""Attributes of STUN itself. Source: RFC 8489 section 14."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from p2p.address import TransportAddress
from p2p.errors import DecodeError, LocalProtocolError
from p2p.proto.stun.attributes.codecs import ADDRESS, XOR_ADDRESS, Attribute, Codec, number, opaque, text


class ErrorCodeValue(NamedTuple):
    """Why a request was refused.

    Attributes:
        code: 300 to 699.
        reason: Text for people.
    """

    code: int
    reason: str = ""


class PasswordAlgorithm(NamedTuple):
    """How the key is derived from the password.

    Attributes:
        number: 1 for MD5, 2 for SHA-256.
        parameters: What the algorithm needs besides; empty for both.
    """

    number: int
    parameters: bytes = b""


# --- Error codes -------------------------------------------------------------------------------------------
def encode_error(code: int, reason: str) -> bytes:
    """Write ``class | number | reason``, the part that ERROR-CODE and ADDRESS-ERROR-CODE share.

    Raises:
        LocalProtocolError: The code is not from 300 to 699.
    """
    if not 300 <= code <= 699:
        raise LocalProtocolError(f"not a STUN error code: {code}")
    return bytes((code // 100, code % 100)) + reason.encode("utf-8", "replace")[:763]


def decode_error_untrusted(data: bytes) -> tuple[int, str]:
    """Read ``class | number | reason``.

    Raises:
        DecodeError: Class or number out of range.
    """
    if len(data) < 2:
        raise DecodeError("error code cut short")
    hundreds = data[0] & 7
    if not 3 <= hundreds <= 6 or data[1] > 99:
        raise DecodeError("error code out of range")
    return hundreds * 100 + data[1], data[2:].decode("utf-8", "replace")


def _encode_error_code(value: ErrorCodeValue, mask: bytes) -> bytes:
    return b"\0\0" + encode_error(value.code, value.reason)


def _decode_error_code(data: bytes, mask: bytes) -> ErrorCodeValue:
    return ErrorCodeValue(*decode_error_untrusted(data[2:]))


def _encode_types(value: tuple[int, ...], mask: bytes) -> bytes:
    try:
        return struct.pack(f"!{len(value)}H", *value)
    except struct.error as error:
        raise LocalProtocolError(f"not attribute types: {value}") from error


def _decode_types(data: bytes, mask: bytes) -> tuple[int, ...]:
    if len(data) % 2:
        raise DecodeError("odd number of bytes in a list of types")
    return struct.unpack(f"!{len(data) // 2}H", data)


# --- Password algorithms -----------------------------------------------------------------------------------
def _encode_algorithm(value: PasswordAlgorithm, mask: bytes) -> bytes:
    if not 0 <= value.number <= 0xFFFF or len(value.parameters) > 0xFFFF:
        raise LocalProtocolError(f"not a password algorithm: {value}")
    padding = bytes(-len(value.parameters) % 4)
    return struct.pack("!HH", value.number, len(value.parameters)) + value.parameters + padding


def _decode_algorithms(data: bytes, mask: bytes) -> tuple[PasswordAlgorithm, ...]:
    algorithms = []
    at = 0
    while at < len(data):
        if at + 4 > len(data):
            raise DecodeError("password algorithm cut short")
        kind, size = struct.unpack_from("!HH", data, at)
        end = at + 4 + size
        if end > len(data):
            raise DecodeError("parameters of a password algorithm cut short")
        algorithms.append(PasswordAlgorithm(kind, data[at + 4 : end]))
        # The last one may come without its padding: the attribute's own padding serves as such.
        at = end + -size % 4
    return tuple(algorithms)


def _encode_algorithms(value: tuple[PasswordAlgorithm, ...], mask: bytes) -> bytes:
    return b"".join(_encode_algorithm(algorithm, mask) for algorithm in value)


def _decode_algorithm(data: bytes, mask: bytes) -> PasswordAlgorithm:
    algorithms = _decode_algorithms(data, mask)
    if len(algorithms) != 1:
        raise DecodeError("not exactly one password algorithm")
    return algorithms[0]


MD5_ALGORITHM: Final = PasswordAlgorithm(1)
"""Key = MD5(username ":" realm ":" password). Source: RFC 8489 section 18.5.1.1."""
SHA256_ALGORITHM: Final = PasswordAlgorithm(2)
"""Key = SHA-256(username ":" realm ":" password). Source: RFC 8489 section 18.5.1.2."""

# The limits of the texts are those of section 14, in bytes.
MAPPED_ADDRESS: Final[Attribute[TransportAddress]] = Attribute(0x0001, "MAPPED-ADDRESS", ADDRESS)
USERNAME: Final[Attribute[str]] = Attribute(0x0006, "USERNAME", text(513))
MESSAGE_INTEGRITY: Final[Attribute[bytes]] = Attribute(0x0008, "MESSAGE-INTEGRITY", opaque(20, 20))
ERROR_CODE: Final[Attribute[ErrorCodeValue]] = Attribute(
    0x0009, "ERROR-CODE", Codec(_encode_error_code, _decode_error_code)
)
UNKNOWN_ATTRIBUTES: Final[Attribute[tuple[int, ...]]] = Attribute(
    0x000A, "UNKNOWN-ATTRIBUTES", Codec(_encode_types, _decode_types)
)
REALM: Final[Attribute[str]] = Attribute(0x0014, "REALM", text(763))
NONCE: Final[Attribute[str]] = Attribute(0x0015, "NONCE", text(763))
MESSAGE_INTEGRITY_SHA256: Final[Attribute[bytes]] = Attribute(0x001C, "MESSAGE-INTEGRITY-SHA256", opaque(16, 32, 4))
PASSWORD_ALGORITHM: Final[Attribute[PasswordAlgorithm]] = Attribute(
    0x001D, "PASSWORD-ALGORITHM", Codec(_encode_algorithm, _decode_algorithm)
)
USERHASH: Final[Attribute[bytes]] = Attribute(0x001E, "USERHASH", opaque(32, 32))
XOR_MAPPED_ADDRESS: Final[Attribute[TransportAddress]] = Attribute(0x0020, "XOR-MAPPED-ADDRESS", XOR_ADDRESS)
PASSWORD_ALGORITHMS: Final[Attribute[tuple[PasswordAlgorithm, ...]]] = Attribute(
    0x8002, "PASSWORD-ALGORITHMS", Codec(_encode_algorithms, _decode_algorithms)
)
ALTERNATE_DOMAIN: Final[Attribute[str]] = Attribute(0x8003, "ALTERNATE-DOMAIN", text(255))
SOFTWARE: Final[Attribute[str]] = Attribute(0x8022, "SOFTWARE", text(763, strict=False))
ALTERNATE_SERVER: Final[Attribute[TransportAddress]] = Attribute(0x8023, "ALTERNATE-SERVER", ADDRESS)
FINGERPRINT: Final[Attribute[int]] = Attribute(0x8028, "FINGERPRINT", number(4))

ATTRIBUTES: Final[tuple[Attribute[object], ...]] = tuple(
    value for value in list(globals().values()) if isinstance(value, Attribute)
)
