"""Attributes with which a client finds out what its NAT does.

Source: RFC 5780 section 7, and RFC 3489 section 11.2 for what only classic clients and servers use.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from p2p.address import TransportAddress
from p2p.errors import DecodeError
from p2p.proto.stun.attributes.codecs import ADDRESS, Attribute, Codec, number, opaque, text

_CHANGE_IP_BIT: Final = 4
_CHANGE_PORT_BIT: Final = 2


class ChangeRequest(NamedTuple):
    """From where the server is asked to answer.

    Attributes:
        change_ip: From its other IP address.
        change_port: From its other port.
    """

    change_ip: bool
    change_port: bool


def _encode_change_request(value: ChangeRequest, mask: bytes) -> bytes:
    return bytes((0, 0, 0, _CHANGE_IP_BIT * value.change_ip | _CHANGE_PORT_BIT * value.change_port))


def _decode_change_request(data: bytes, mask: bytes) -> ChangeRequest:
    if len(data) != 4:
        raise DecodeError("CHANGE-REQUEST is four bytes")
    return ChangeRequest(bool(data[3] & _CHANGE_IP_BIT), bool(data[3] & _CHANGE_PORT_BIT))


CHANGE_REQUEST: Final[Attribute[ChangeRequest]] = Attribute(
    0x0003, "CHANGE-REQUEST", Codec(_encode_change_request, _decode_change_request)
)
PADDING: Final[Attribute[bytes]] = Attribute(0x0026, "PADDING", opaque())
RESPONSE_PORT: Final[Attribute[int]] = Attribute(0x0027, "RESPONSE-PORT", number(2, reserved=2))
CACHE_TIMEOUT: Final[Attribute[int]] = Attribute(0x8027, "CACHE-TIMEOUT", number(4))
"""In seconds."""
RESPONSE_ORIGIN: Final[Attribute[TransportAddress]] = Attribute(0x802B, "RESPONSE-ORIGIN", ADDRESS)
OTHER_ADDRESS: Final[Attribute[TransportAddress]] = Attribute(0x802C, "OTHER-ADDRESS", ADDRESS)

# Only of RFC 3489; RESPONSE-ADDRESS and REFLECTED-FROM let a client aim answers at others and are never honoured.
RESPONSE_ADDRESS: Final[Attribute[TransportAddress]] = Attribute(0x0002, "RESPONSE-ADDRESS", ADDRESS)
SOURCE_ADDRESS: Final[Attribute[TransportAddress]] = Attribute(0x0004, "SOURCE-ADDRESS", ADDRESS)
CHANGED_ADDRESS: Final[Attribute[TransportAddress]] = Attribute(0x0005, "CHANGED-ADDRESS", ADDRESS)
PASSWORD: Final[Attribute[str]] = Attribute(0x0007, "PASSWORD", text(763))
REFLECTED_FROM: Final[Attribute[TransportAddress]] = Attribute(0x000B, "REFLECTED-FROM", ADDRESS)

ATTRIBUTES: Final[tuple[Attribute[object], ...]] = tuple(
    value for value in list(globals().values()) if isinstance(value, Attribute)
)
