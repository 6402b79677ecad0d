"""The header with which a data stream begins, in the direction of whoever opened it; raw bytes follow.

     0                   1                   2
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3
    +---------------+-------------------------------+
    |     kind      |  length of the field list     |
    +---------------+-------------------------------+
    |  field list: 1 service, 2 origin, 3 local address ...

    address value:  IP address (4 or 16 bytes), port (2 bytes)

Nothing precedes the raw bytes of the other direction: a service that cannot be reached is told by resetting the
stream with a ``StreamCode``, so that opening a flow costs no round trip.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from p2p.address import TransportAddress
from p2p.errors import DecodeError
from p2p.proto.tunnel.fields import decode_fields_untrusted, decode_text_untrusted, encode_fields, encode_text

HEADER_MAX_BYTES: Final = 1024
"""Names and addresses need under 300; whoever sends more is not one of us."""
SERVICE_NAME_MAX_BYTES: Final = 255
_PREFIX_BYTES: Final = 3
_FIELD_SERVICE: Final = 1
_FIELD_ORIGIN: Final = 2
_FIELD_LOCAL: Final = 3


class FlowKind(IntEnum):
    """What is forwarded on a data stream."""

    STREAM = 1
    """A TCP or Unix connection: its bytes as they are."""
    DATAGRAMS = 2
    """The datagrams of one source; on the stream itself only those too large for QUIC's, with a length in front."""
    COMPRESSED = 3
    """A TCP or Unix connection, its bytes compressed in both directions (DEFLATE, RFC 1951)."""


@dataclass(frozen=True, slots=True)
class StreamHeader:
    """What the opener of a data stream says about it.

    Attributes:
        service: The service to connect to; empty means the one that the session was opened for.
        origin: Where the forwarded connection came from, for PROXY protocol; None if it has no IP address.
        local: The address that the connection was made to, for the same purpose.
        kind: A ``FlowKind``, or a number that only a later version knows.
    """

    service: str
    origin: TransportAddress | None = None
    local: TransportAddress | None = None
    kind: int = FlowKind.STREAM


def encode_header(header: StreamHeader) -> bytes:
    """Encode a header.

    Args:
        header: Addresses must be IP addresses, not names.
    """
    fields = [(_FIELD_SERVICE, encode_text(header.service, SERVICE_NAME_MAX_BYTES))]
    if header.origin is not None:
        fields.append((_FIELD_ORIGIN, _encode_address(header.origin)))
    if header.local is not None:
        fields.append((_FIELD_LOCAL, _encode_address(header.local)))
    body = encode_fields(fields)
    return bytes((header.kind,)) + len(body).to_bytes(2, "big") + body


def header_length_untrusted(data: bytes) -> int | None:
    """Tell how many bytes the header has that ``data`` begins with.

    Args:
        data: The first bytes of a stream, as many as there are.

    Returns:
        The length, or None when more bytes are needed to tell.

    Raises:
        DecodeError: The header would be longer than allowed.
    """
    if len(data) < _PREFIX_BYTES:
        return None
    length = _PREFIX_BYTES + int.from_bytes(data[1:_PREFIX_BYTES], "big")
    if length > HEADER_MAX_BYTES:
        raise DecodeError(f"stream header of {length} bytes")
    return length


def decode_header_untrusted(data: bytes) -> StreamHeader:
    """Decode a whole header.

    Args:
        data: As many bytes as ``header_length_untrusted`` told.

    Raises:
        DecodeError: It is not a header.
    """
    if header_length_untrusted(data) != len(data):
        raise DecodeError("stream header is cut short, or bytes follow it")
    fields = decode_fields_untrusted(data[_PREFIX_BYTES:])
    service = decode_text_untrusted(fields.get(_FIELD_SERVICE, b""), SERVICE_NAME_MAX_BYTES)
    origin, local = fields.get(_FIELD_ORIGIN), fields.get(_FIELD_LOCAL)
    return StreamHeader(
        service=service,
        origin=None if origin is None else _decode_address_untrusted(origin),
        local=None if local is None else _decode_address_untrusted(local),
        kind=data[0],
    )


def _encode_address(address: TransportAddress) -> bytes:
    return address.ip.packed + address.port.to_bytes(2, "big")


def _decode_address_untrusted(data: bytes) -> TransportAddress:
    if len(data) not in (6, 18):
        raise DecodeError(f"address of {len(data)} bytes")
    return TransportAddress(str(ipaddress.ip_address(data[:-2])), int.from_bytes(data[-2:], "big"))
