"""The kinds of values that STUN attributes carry, each as a pair of functions between value and bytes.

An encoder takes ``(value, mask)``, a decoder ``(data, mask)``: the mask is the magic cookie followed by the
transaction id (16 bytes), with which the XOR-... addresses are combined. Decoders raise ``DecodeError`` and
nothing else; encoders raise ``LocalProtocolError`` for values that do not fit.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Generic, NamedTuple, TypeVar

from p2p.address import TransportAddress
from p2p.errors import DecodeError, LocalProtocolError

T = TypeVar("T")

FAMILY_IPV4 = 1
FAMILY_IPV6 = 2


class Codec(NamedTuple, Generic[T]):
    """How the value of an attribute is written and read.

    Attributes:
        encode: From value and 16-byte mask to the bytes of the attribute, without padding.
        decode: From those bytes and the mask to the value; raises DecodeError only.
    """

    encode: Callable[[T, bytes], bytes]
    decode: Callable[[bytes, bytes], T]


@dataclass(frozen=True, slots=True, eq=False)
class Attribute(Generic[T]):
    """One attribute type of the STUN registry; called with a value it makes an entry of a message.

    There is one object for each type, so that comparison by identity is enough.

    Attributes:
        type: Its number, 0 to 0xFFFF; below 0x8000 whoever does not know it must refuse the message.
        name: Its name in the registry, such as ``XOR-MAPPED-ADDRESS``.
        codec: How its value is written and read.
    """

    type: int
    name: str
    codec: Codec[T]

    def __call__(self, value: T) -> tuple[Attribute[T], T]:
        """Pair the attribute with a value, type-checked, for ``Message.attributes``."""
        return (self, value)

    def __repr__(self) -> str:
        return self.name


# --- Addresses ---------------------------------------------------------------------------------------------
@lru_cache(maxsize=4096)
def pack_host(host: str) -> bytes:
    """Turn the text of an IP address into its 4 or 16 bytes; what is after ``%`` is dropped.

    Raises:
        LocalProtocolError: The text is not an IP address.
    """
    try:
        return ipaddress.ip_address(host).packed
    except ValueError as error:
        raise LocalProtocolError(f"not an IP address: {host!r}") from error


@lru_cache(maxsize=4096)
def unpack_host(packed: bytes) -> str:
    """Turn 4 or 16 bytes into the canonical text of an IP address."""
    if len(packed) == 4:
        return "{}.{}.{}.{}".format(*packed)
    return str(ipaddress.IPv6Address(packed))


def _split_address(data: bytes) -> tuple[int, bytes]:
    """Check an address value and split it into port and packed host."""
    size = len(data)
    if size == 8 and data[1] == FAMILY_IPV4:
        return data[2] << 8 | data[3], data[4:]
    if size == 20 and data[1] == FAMILY_IPV6:
        return data[2] << 8 | data[3], data[4:]
    raise DecodeError("address with an unknown family or a wrong size")


def _join_address(port: int, packed: bytes) -> bytes:
    if not 0 <= port <= 0xFFFF:
        raise LocalProtocolError(f"not a port: {port}")
    return struct.pack("!BBH", 0, FAMILY_IPV4 if len(packed) == 4 else FAMILY_IPV6, port) + packed


def _xor(packed: bytes, mask: bytes) -> bytes:
    size = len(packed)
    return (int.from_bytes(packed, "big") ^ int.from_bytes(mask[:size], "big")).to_bytes(size, "big")


def _encode_address(value: TransportAddress, mask: bytes) -> bytes:
    return _join_address(value.port, pack_host(value.host))


def _decode_address(data: bytes, mask: bytes) -> TransportAddress:
    port, packed = _split_address(data)
    return TransportAddress(unpack_host(packed), port)


def _encode_xor_address(value: TransportAddress, mask: bytes) -> bytes:
    if not 0 <= value.port <= 0xFFFF:
        raise LocalProtocolError(f"not a port: {value.port}")
    return _join_address(value.port ^ (mask[0] << 8 | mask[1]), _xor(pack_host(value.host), mask))


def _decode_xor_address(data: bytes, mask: bytes) -> TransportAddress:
    port, packed = _split_address(data)
    return TransportAddress(unpack_host(_xor(packed, mask)), port ^ (mask[0] << 8 | mask[1]))


ADDRESS: Codec[TransportAddress] = Codec(_encode_address, _decode_address)
"""``0 | family | port (2) | address (4 or 16)``. Source: RFC 8489 section 14.1."""

XOR_ADDRESS: Codec[TransportAddress] = Codec(_encode_xor_address, _decode_xor_address)
"""As ADDRESS, with port and address combined with the mask. Source: RFC 8489 section 14.2."""


# --- Bytes and text ----------------------------------------------------------------------------------------
def opaque(minimum: int = 0, maximum: int = 0xFFFF, multiple: int = 1) -> Codec[bytes]:
    """Bytes that mean nothing to the codec.

    Args:
        minimum: The least number of bytes.
        maximum: The greatest number of bytes.
        multiple: The number of bytes must be a multiple of this.
    """

    def encode(value: bytes, mask: bytes) -> bytes:
        if not minimum <= len(value) <= maximum or len(value) % multiple:
            raise LocalProtocolError(f"{len(value)} bytes where {minimum} to {maximum} are allowed")
        return bytes(value)

    def decode(data: bytes, mask: bytes) -> bytes:
        if not minimum <= len(data) <= maximum or len(data) % multiple:
            raise DecodeError(f"{len(data)} bytes where {minimum} to {maximum} are allowed")
        return data

    return Codec(encode, decode)


def text(maximum: int, *, strict: bool = True) -> Codec[str]:
    """UTF-8 text.

    Args:
        maximum: The greatest number of bytes.
        strict: Whether bytes that are not UTF-8 are an error. Text for people only is read leniently, since a
            sloppy product name is no reason to lose a message.
    """

    def encode(value: str, mask: bytes) -> bytes:
        try:
            data = value.encode("utf-8", "strict" if strict else "replace")
        except UnicodeEncodeError as error:
            raise LocalProtocolError("text that cannot be written as UTF-8") from error
        if len(data) > maximum:
            raise LocalProtocolError(f"{len(data)} bytes of text where {maximum} are allowed")
        return data

    def decode(data: bytes, mask: bytes) -> str:
        if not strict:
            return data.decode("utf-8", "replace")
        if len(data) > maximum:
            raise DecodeError(f"{len(data)} bytes of text where {maximum} are allowed")
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise DecodeError("text that is not UTF-8") from error

    return Codec(encode, decode)


# --- Numbers -----------------------------------------------------------------------------------------------
def number(size: int, *, reserved: int = 0) -> Codec[int]:
    """An unsigned integer in network order, followed by reserved bytes.

    Args:
        size: Its bytes.
        reserved: How many bytes follow it, sent as zero and ignored when read.
    """
    limit = 1 << (8 * size)
    tail = bytes(reserved)

    def encode(value: int, mask: bytes) -> bytes:
        if not 0 <= value < limit:
            raise LocalProtocolError(f"{value} does not fit {size} bytes")
        return value.to_bytes(size, "big") + tail

    def decode(data: bytes, mask: bytes) -> int:
        if len(data) != size + reserved:
            raise DecodeError(f"{len(data)} bytes for a number of {size + reserved}")
        return int.from_bytes(data[:size], "big")

    return Codec(encode, decode)


def _encode_flag(value: bool, mask: bytes) -> bytes:
    if not value:
        raise LocalProtocolError("a flag is set by being there: leave the attribute out")
    return b""


def _decode_flag(data: bytes, mask: bytes) -> bool:
    if data:
        raise DecodeError("a flag with a value")
    return True


FLAG: Codec[bool] = Codec(_encode_flag, _decode_flag)
"""No value: the attribute is there, or it is not."""
