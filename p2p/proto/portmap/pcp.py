"""PCP messages: MAP and ANNOUNCE.

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    |  Version = 2  |R|   Opcode    |  Reserved     |  Result Code  |
    |                      Lifetime (32 bits)                       |
    |  request: client's IP address (128)  response: epoch (32), 0  |
    |                  MAP: mapping nonce (96)                      |
    |   Protocol    |          Reserved (24 bits)                   |
    |        Internal Port          |    External Port              |
    |                 External IP Address (128)                     |

Source: RFC 6887 sections 7, 11 and 14.
"""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from p2p.address import TransportAddress
from p2p.errors import DecodeError

PCP_VERSION: Final = 2
PCP_PORT: Final = 5351
NONCE_BYTES: Final = 12

_MIN_BYTES: Final = 24
_MAX_BYTES: Final = 1100
_UDP: Final = 17
_RESPONSE: Final = 0x80
_REQUEST_HEADER: Final = struct.Struct("!BBxxI16s")
_RESPONSE_HEADER: Final = struct.Struct("!BBxBII12x")
_MAP: Final = struct.Struct("!12sB3xHH16s")
_ANY: Final = {False: "0.0.0.0", True: "::"}  # noqa: S104 -- "no address", as the protocol spells it


class PcpOpcode(IntEnum):
    """What a message is about. Source: RFC 6887 section 19.1."""

    ANNOUNCE = 0
    MAP = 1


class PcpResult(IntEnum):
    """What came of a request. Source: RFC 6887 section 7.4."""

    SUCCESS = 0
    UNSUPP_VERSION = 1
    NOT_AUTHORIZED = 2
    MALFORMED_REQUEST = 3
    UNSUPP_OPCODE = 4
    UNSUPP_OPTION = 5
    MALFORMED_OPTION = 6
    NETWORK_FAILURE = 7
    NO_RESOURCES = 8
    UNSUPP_PROTOCOL = 9
    USER_EX_QUOTA = 10
    CANNOT_PROVIDE_EXTERNAL = 11
    ADDRESS_MISMATCH = 12
    EXCESSIVE_REMOTE_PEERS = 13


@dataclass(frozen=True, slots=True)
class PcpMap:
    """The part of a MAP answer after the header.

    Attributes:
        nonce: That of the request.
        internal_port: Our port.
        external: Where the outside reaches us; in an error, what we suggested.
    """

    nonce: bytes
    internal_port: int
    external: TransportAddress


@dataclass(frozen=True, slots=True)
class PcpResponse:
    """An answer, or what a router tells everybody.

    Attributes:
        opcode: What it is about; a number where it is not known here.
        result: A ``PcpResult``, or a number that is not known here.
        lifetime_s: How long the mapping, or the error, holds, in seconds.
        epoch_s: The router's clock.
        mapping: For MAP, the rest; None where a version error has cut it off.
    """

    opcode: int
    result: int
    lifetime_s: int
    epoch_s: int
    mapping: PcpMap | None = None


def encode_announce(client: str) -> bytes:
    """Write a request for nothing but the router's clock.

    Args:
        client: Our IP address, the one that the request is sent from.
    """
    return _REQUEST_HEADER.pack(PCP_VERSION, PcpOpcode.ANNOUNCE, 0, _pack_host(client))


def encode_map(
    client: str, *, nonce: bytes, internal_port: int, lifetime_s: int, suggested: TransportAddress | None = None
) -> bytes:
    """Write a request for a UDP port, for its renewal, or with lifetime 0 for its end.

    Args:
        client: Our IP address, the one that the request is sent from.
        nonce: 12 bytes, the same as long as the mapping lives: who does not know them cannot change it.
        internal_port: Our port.
        lifetime_s: How long we want it, in seconds.
        suggested: The outside address that we would like; None leaves it to the router.
    """
    external = suggested or TransportAddress(_ANY[":" in client], 0)
    return _REQUEST_HEADER.pack(PCP_VERSION, PcpOpcode.MAP, lifetime_s, _pack_host(client)) + _MAP.pack(
        nonce, _UDP, internal_port, external.port, _pack_host(external.host)
    )


def decode_response_untrusted(data: bytes) -> PcpResponse:
    """Read what a router sent.

    Args:
        data: The datagram.

    Raises:
        DecodeError: It is no PCP response for UDP, or a success that grants nothing.
    """
    if not _MIN_BYTES <= len(data) <= _MAX_BYTES or len(data) % 4:
        raise DecodeError("a PCP response has 24 to 1100 bytes, a multiple of four")
    version, opcode, result, lifetime_s, epoch_s = _RESPONSE_HEADER.unpack_from(data)
    if version != PCP_VERSION or not opcode & _RESPONSE:
        raise DecodeError("no PCP response of version 2")
    opcode &= ~_RESPONSE
    mapping = None
    if opcode == PcpOpcode.MAP and len(data) >= _MIN_BYTES + _MAP.size:
        nonce, protocol, internal_port, external_port, host = _MAP.unpack_from(data, _MIN_BYTES)
        if protocol != _UDP:
            raise DecodeError("a PCP mapping of another protocol")
        mapping = PcpMap(nonce, internal_port, TransportAddress(_unpack_host(host), external_port))
    if opcode == PcpOpcode.MAP and result == PcpResult.SUCCESS:
        if mapping is None:
            raise DecodeError("a PCP success without a mapping")
        if lifetime_s and (not mapping.external.port or mapping.external.ip.is_unspecified):
            raise DecodeError("a PCP mapping without an outside address")
    return PcpResponse(opcode, result, lifetime_s, epoch_s, mapping)


def encode_map_response(response: PcpResponse) -> bytes:
    """Write an answer, as a router does: for routers that are made up."""
    header = _RESPONSE_HEADER.pack(
        PCP_VERSION, _RESPONSE | response.opcode, response.result, response.lifetime_s, response.epoch_s
    )
    if response.mapping is None:
        return header
    mapping = response.mapping
    return header + _MAP.pack(
        mapping.nonce, _UDP, mapping.internal_port, mapping.external.port, _pack_host(mapping.external.host)
    )


def result_name(result: int) -> str:
    """Name a result as the RFC does, or give its number."""
    return next((known.name for known in PcpResult if known == result), str(result))


def _pack_host(host: str) -> bytes:
    """Write an IP address in 16 bytes; IPv4 is mapped into IPv6. Source: RFC 6887 section 5."""
    ip = ipaddress.ip_address(host)
    return ip.packed if ip.version == 6 else bytes(10) + b"\xff\xff" + ip.packed


def _unpack_host(packed: bytes) -> str:
    ip = ipaddress.IPv6Address(packed)
    return str(ip.ipv4_mapped or ip)
