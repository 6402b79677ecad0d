"""NAT-PMP messages: the outside address, and a UDP port.

    request for the address:   Vers = 0 | OP = 0
    answer, also unasked:      Vers = 0 | OP = 128 | Result (16) | Seconds (32) | Outside IPv4 Address (32)
    request for a port:        Vers = 0 | OP = 1 | Reserved (16) | Internal (16) | Suggested (16) | Lifetime (32)
    answer:                    Vers = 0 | OP = 129 | Result (16) | Seconds (32) | Internal (16) | External (16) |
                               Lifetime (32)

Source: RFC 6886 sections 3.2 and 3.3.
"""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from p2p.errors import DecodeError

NAT_PMP_VERSION: Final = 0

_OP_ADDRESS: Final = 0
_OP_MAP_UDP: Final = 1
_RESPONSE: Final = 128
_HEADER: Final = struct.Struct("!BBHI")
_ADDRESS: Final = struct.Struct("!BBHI4s")
_MAP_REQUEST: Final = struct.Struct("!BBxxHHI")
_MAP: Final = struct.Struct("!BBHIHHI")


class NatPmpResult(IntEnum):
    """What came of a request. Source: RFC 6886 section 3.5."""

    SUCCESS = 0
    UNSUPPORTED_VERSION = 1
    NOT_AUTHORIZED = 2
    NETWORK_FAILURE = 3
    OUT_OF_RESOURCES = 4
    UNSUPPORTED_OPCODE = 5


@dataclass(frozen=True, slots=True)
class NatPmpAddress:
    """The router's outside address.

    Attributes:
        epoch_s: The router's clock.
        host: The IPv4 address.
    """

    epoch_s: int
    host: str


@dataclass(frozen=True, slots=True)
class NatPmpMapped:
    """A port that the router forwards, or, with lifetime 0, forwards no longer.

    Attributes:
        epoch_s: The router's clock.
        internal_port: Ours.
        external_port: The router's.
        lifetime_s: How long it holds, in seconds.
    """

    epoch_s: int
    internal_port: int
    external_port: int
    lifetime_s: int


@dataclass(frozen=True, slots=True)
class NatPmpRefused:
    """The router says no.

    Attributes:
        epoch_s: The router's clock; 0 where it does not say.
        result: A ``NatPmpResult``, or a number that is not known here.
        is_about_port: Whether it was the port that was asked for, and not the address.
    """

    epoch_s: int
    result: int
    is_about_port: bool


def encode_address_request() -> bytes:
    """Ask for the outside address."""
    return bytes((NAT_PMP_VERSION, _OP_ADDRESS))


def encode_map_request(*, internal_port: int, suggested_port: int, lifetime_s: int) -> bytes:
    """Ask for a UDP port, for its renewal, or with lifetime 0 for its end.

    Args:
        internal_port: Ours.
        suggested_port: The outside port we would like; 0 for any, and to end a mapping.
        lifetime_s: How long we want it, in seconds.
    """
    return _MAP_REQUEST.pack(NAT_PMP_VERSION, _OP_MAP_UDP, internal_port, suggested_port, lifetime_s)


def decode_response_untrusted(data: bytes) -> NatPmpAddress | NatPmpMapped | NatPmpRefused:
    """Read what a router sent.

    Args:
        data: The datagram.

    Raises:
        DecodeError: It is no NAT-PMP response about the address or a UDP port, or a success that grants nothing.
    """
    if len(data) < _HEADER.size:
        # A router may cut a version error short.
        raise DecodeError("too short for a NAT-PMP response")
    version, opcode, result, epoch_s = _HEADER.unpack_from(data)
    if version != NAT_PMP_VERSION or opcode not in (_RESPONSE | _OP_ADDRESS, _RESPONSE | _OP_MAP_UDP):
        # A router that knows no PCP may answer its version with the opcode it was sent; any is an error then.
        if version == NAT_PMP_VERSION and opcode & _RESPONSE and result == NatPmpResult.UNSUPPORTED_VERSION:
            return NatPmpRefused(epoch_s, result, is_about_port=False)
        raise DecodeError("no NAT-PMP response")
    is_about_port = opcode == _RESPONSE | _OP_MAP_UDP
    if result != NatPmpResult.SUCCESS:
        return NatPmpRefused(epoch_s, result, is_about_port)
    if not is_about_port:
        if len(data) != _ADDRESS.size:
            raise DecodeError("a NAT-PMP address response has 12 bytes")
        host = ipaddress.IPv4Address(_ADDRESS.unpack(data)[4])
        if host.is_unspecified:
            raise DecodeError("a NAT-PMP router without an outside address")
        return NatPmpAddress(epoch_s, str(host))
    if len(data) != _MAP.size:
        raise DecodeError("a NAT-PMP mapping response has 16 bytes")
    *_, internal_port, external_port, lifetime_s = _MAP.unpack(data)
    if lifetime_s and not external_port:
        raise DecodeError("a NAT-PMP mapping without an outside port")
    return NatPmpMapped(epoch_s, internal_port, external_port, lifetime_s)


def encode_response(response: NatPmpAddress | NatPmpMapped | NatPmpRefused) -> bytes:
    """Write an answer, as a router does: for routers that are made up."""
    match response:
        case NatPmpAddress(epoch_s, host):
            return _ADDRESS.pack(NAT_PMP_VERSION, _RESPONSE, 0, epoch_s, ipaddress.IPv4Address(host).packed)
        case NatPmpMapped(epoch_s, internal_port, external_port, lifetime_s):
            return _MAP.pack(
                NAT_PMP_VERSION, _RESPONSE | _OP_MAP_UDP, 0, epoch_s, internal_port, external_port, lifetime_s
            )
        case NatPmpRefused(epoch_s, result, is_about_port):
            return _HEADER.pack(NAT_PMP_VERSION, _RESPONSE | int(is_about_port), result, epoch_s)


def result_name(result: int) -> str:
    """Name a result as the RFC does, or give its number."""
    return next((known.name for known in NatPmpResult if known == result), str(result))
