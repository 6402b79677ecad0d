"""What Linux tells about its links, addresses and routes: just enough to know that something changed.

    0      4      6      8          12     16
    | length | type | flags | sequence | port | payload, padded to four bytes | next message ...

The payload of a route message is a ``struct rtmsg``: family, destination prefix length, and more.

Source: linux/netlink.h, linux/rtnetlink.h, RFC 3549.
"""

from __future__ import annotations

import socket
import struct
from enum import IntEnum
from typing import Final, NamedTuple

from p2p.errors import DecodeError

_HEADER: Final = struct.Struct("=IHHII")
_ALIGNMENT: Final = 4
_ROUTE_HEADER_BYTES: Final = 12

_GROUPS: Final = 0x1 | 0x10 | 0x40 | 0x100 | 0x400
"""RTMGRP_LINK, _IPV4_IFADDR, _IPV4_ROUTE, _IPV6_IFADDR, _IPV6_ROUTE."""
_WIDE_ROUTE_PREFIX: Final = 1
"""A VPN that takes all traffic adds two routes of half the address space each, and leaves the default route alone."""


class NetlinkType(IntEnum):
    """The messages that are of interest."""

    NEW_LINK = 16
    DELETED_LINK = 17
    NEW_ADDRESS = 20
    DELETED_ADDRESS = 21
    NEW_ROUTE = 24
    DELETED_ROUTE = 25


_ROUTES: Final = (NetlinkType.NEW_ROUTE, NetlinkType.DELETED_ROUTE)


class NetlinkMessage(NamedTuple):
    """One message.

    Attributes:
        kind: A ``NetlinkType``, or a number that means nothing here.
        payload: What follows the header, without padding.
    """

    kind: int
    payload: bytes


def decode_messages_untrusted(data: bytes) -> tuple[NetlinkMessage, ...]:
    """Cut what one read of a netlink socket gave into messages.

    Args:
        data: Any bytes.

    Raises:
        DecodeError: A length contradicts what is there.

    Source: linux/netlink.h, NLMSG_OK and NLMSG_NEXT.
    """
    messages = []
    offset = 0
    while offset < len(data):
        if len(data) - offset < _HEADER.size:
            raise DecodeError(f"netlink header of {len(data) - offset} bytes")
        length, kind, _, _, _ = _HEADER.unpack_from(data, offset)
        if not _HEADER.size <= length <= len(data) - offset:
            raise DecodeError(f"netlink message of {length} bytes where {len(data) - offset} are left")
        messages.append(NetlinkMessage(kind, data[offset + _HEADER.size : offset + length]))
        offset += -(-length // _ALIGNMENT) * _ALIGNMENT
    return tuple(messages)


def tells_change_untrusted(data: bytes) -> bool:
    """Whether what was read can concern our way to the outside: all but routes to single networks.

    Args:
        data: Any bytes.

    Raises:
        DecodeError: It is no run of netlink messages, or a route's message is too short.
    """
    return any(_is_of_interest(message) for message in decode_messages_untrusted(data))


def open_socket() -> socket.socket:
    """Open a socket that hears of changes in the network namespace of this process.

    Raises:
        OSError: This system has no such sockets, or does not let us have one.
    """
    if not hasattr(socket, "AF_NETLINK"):
        raise OSError("no netlink on this system")
    link = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, 0)
    try:
        link.bind((0, _GROUPS))
    except OSError:
        link.close()
        raise
    return link


def _is_of_interest(message: NetlinkMessage) -> bool:
    if message.kind not in _ROUTES:
        return message.kind in NetlinkType.__members__.values()
    if len(message.payload) < _ROUTE_HEADER_BYTES:
        raise DecodeError(f"route message of {len(message.payload)} bytes")
    return message.payload[1] <= _WIDE_ROUTE_PREFIX
