"""ChannelData: peer data behind four bytes instead of a whole STUN message.

    | channel number 0x4000-0x4FFF (16) | length (16) | data | on streams: zero to three bytes of padding |

Source: RFC 8656 section 12.4.
"""

from __future__ import annotations

import struct
from typing import Final

from p2p.errors import DecodeError, LocalProtocolError

HEADER_BYTES: Final = 4
FIRST_CHANNEL: Final = 0x4000
LAST_CHANNEL: Final = 0x4FFF

_HEADER: Final = struct.Struct("!HH")


def is_channel_data(data: bytes | memoryview) -> bool:
    """Tell cheaply whether a datagram is meant to be ChannelData. Source: RFC 7983 section 7."""
    return len(data) >= HEADER_BYTES and 0x40 <= data[0] <= 0x4F


def encode(channel: int, data: bytes, *, padded: bool = False) -> bytes:
    """Write a ChannelData message.

    Args:
        channel: 0x4000 to 0x4FFF.
        data: What the peer gets; at most 65,535 bytes.
        padded: Whether to fill up to a multiple of four bytes, as byte streams demand.

    Raises:
        LocalProtocolError: The channel is not in range, or the data too long.
    """
    size = len(data)
    if not FIRST_CHANNEL <= channel <= LAST_CHANNEL or size > 0xFFFF:
        raise LocalProtocolError(f"ChannelData on channel {channel:#x} with {size} bytes")
    if padded and size & 3:
        return b"".join((_HEADER.pack(channel, size), data, bytes(-size & 3)))
    return b"".join((_HEADER.pack(channel, size), data))


def decode_untrusted(data: bytes | memoryview) -> tuple[int, bytes]:
    """Read a ChannelData message; padding behind the data is dropped.

    Args:
        data: One whole message.

    Returns:
        The channel and what the peer sent.

    Raises:
        DecodeError: The bytes are no ChannelData message.
    """
    if len(data) < HEADER_BYTES:
        raise DecodeError("shorter than a ChannelData header")
    channel, size = _HEADER.unpack_from(data)
    if not FIRST_CHANNEL <= channel <= LAST_CHANNEL:
        raise DecodeError("not a channel number")
    if HEADER_BYTES + size > len(data):
        raise DecodeError("ChannelData cut short")
    return channel, bytes(data[HEADER_BYTES : HEADER_BYTES + size])
