"""Attributes of TURN and its extensions. Source: RFC 8656 section 18, RFC 6062 section 6.2, RFC 8016 section 3."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from p2p.address import TransportAddress
from p2p.errors import DecodeError, LocalProtocolError
from p2p.proto.stun.attributes.base import decode_error_untrusted, encode_error
from p2p.proto.stun.attributes.codecs import FLAG, XOR_ADDRESS, Attribute, Codec, number, opaque

TRANSPORT_UDP: Final = 17
"""REQUESTED-TRANSPORT for UDP between relay and peer."""
TRANSPORT_TCP: Final = 6
"""REQUESTED-TRANSPORT for TCP between relay and peer. Source: RFC 6062."""


class AddressErrorCode(NamedTuple):
    """Why one of the two relayed addresses that were asked for was not given.

    Attributes:
        family: 1 for IPv4, 2 for IPv6.
        code: 300 to 699.
        reason: Text for people.
    """

    family: int
    code: int
    reason: str = ""


class IcmpValue(NamedTuple):
    """An ICMP error that came back for relayed data.

    Attributes:
        type: 0 to 127.
        code: 0 to 511.
        data: Four bytes, such as the MTU of a "packet too big".
    """

    type: int
    code: int
    data: bytes


def _encode_even_port(value: bool, mask: bytes) -> bytes:
    return b"\x80" if value else b"\0"


def _decode_even_port(data: bytes, mask: bytes) -> bool:
    if len(data) != 1:
        raise DecodeError("EVEN-PORT is one byte")
    return bool(data[0] & 0x80)


def _encode_address_error(value: AddressErrorCode, mask: bytes) -> bytes:
    if not 0 <= value.family <= 0xFF:
        raise LocalProtocolError(f"not an address family: {value.family}")
    return bytes((value.family, 0)) + encode_error(value.code, value.reason)


def _decode_address_error(data: bytes, mask: bytes) -> AddressErrorCode:
    code, reason = decode_error_untrusted(data[2:])
    return AddressErrorCode(data[0], code, reason)


def _encode_icmp(value: IcmpValue, mask: bytes) -> bytes:
    if not (0 <= value.type < 128 and 0 <= value.code < 512 and len(value.data) == 4):
        raise LocalProtocolError(f"not an ICMP error: {value}")
    return struct.pack("!HH", 0, value.type << 9 | value.code) + value.data


def _decode_icmp(data: bytes, mask: bytes) -> IcmpValue:
    if len(data) != 8:
        raise DecodeError("ICMP is eight bytes")
    both = data[2] << 8 | data[3]
    return IcmpValue(both >> 9, both & 0x1FF, data[4:])


CHANNEL_NUMBER: Final[Attribute[int]] = Attribute(0x000C, "CHANNEL-NUMBER", number(2, reserved=2))
LIFETIME: Final[Attribute[int]] = Attribute(0x000D, "LIFETIME", number(4))
"""In seconds."""
XOR_PEER_ADDRESS: Final[Attribute[TransportAddress]] = Attribute(0x0012, "XOR-PEER-ADDRESS", XOR_ADDRESS)
DATA: Final[Attribute[bytes]] = Attribute(0x0013, "DATA", opaque())
XOR_RELAYED_ADDRESS: Final[Attribute[TransportAddress]] = Attribute(0x0016, "XOR-RELAYED-ADDRESS", XOR_ADDRESS)
REQUESTED_ADDRESS_FAMILY: Final[Attribute[int]] = Attribute(0x0017, "REQUESTED-ADDRESS-FAMILY", number(1, reserved=3))
"""1 for IPv4, 2 for IPv6; others are decoded too, since they are answered with 440."""
EVEN_PORT: Final[Attribute[bool]] = Attribute(0x0018, "EVEN-PORT", Codec(_encode_even_port, _decode_even_port))
"""True asks for the next port to be reserved as well."""
REQUESTED_TRANSPORT: Final[Attribute[int]] = Attribute(0x0019, "REQUESTED-TRANSPORT", number(1, reserved=3))
DONT_FRAGMENT: Final[Attribute[bool]] = Attribute(0x001A, "DONT-FRAGMENT", FLAG)
RESERVATION_TOKEN: Final[Attribute[bytes]] = Attribute(0x0022, "RESERVATION-TOKEN", opaque(8, 8))
CONNECTION_ID: Final[Attribute[int]] = Attribute(0x002A, "CONNECTION-ID", number(4))
ADDITIONAL_ADDRESS_FAMILY: Final[Attribute[int]] = Attribute(0x8000, "ADDITIONAL-ADDRESS-FAMILY", number(1, reserved=3))
ADDRESS_ERROR_CODE: Final[Attribute[AddressErrorCode]] = Attribute(
    0x8001, "ADDRESS-ERROR-CODE", Codec(_encode_address_error, _decode_address_error)
)
ICMP: Final[Attribute[IcmpValue]] = Attribute(0x8004, "ICMP", Codec(_encode_icmp, _decode_icmp))
MOBILITY_TICKET: Final[Attribute[bytes]] = Attribute(0x8030, "MOBILITY-TICKET", opaque())

ATTRIBUTES: Final[tuple[Attribute[object], ...]] = tuple(
    value for value in list(globals().values()) if isinstance(value, Attribute)
)
