"""ICMP errors for what a UDP socket has sent, where the kernel keeps them for it."""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
from collections.abc import Iterator
from typing import Final, NamedTuple

from p2p.address import TransportAddress

# Linux numbers that the socket module of Python 3.11 does not name. Source: linux/in.h, linux/in6.h, linux/errqueue.h.
_IP_RECVERR: Final = 11
_IPV6_RECVERR: Final = 25
_MSG_ERRQUEUE: Final = 0x2000
_ORIGINS: Final = frozenset({2, 3})
"""ICMP and ICMPv6; the others are this host's own errors."""
_EXTENDED_ERROR: Final = struct.Struct("=IBBBxII")
_ANCILLARY_BYTES: Final = 512
_MOST: Final = 64


class IcmpError(NamedTuple):
    """An ICMP error that came back.

    Attributes:
        destination: Where the datagram was going.
        type: Of the ICMP or ICMPv6 message.
        code: The same.
        info: The MTU, where the error is about it; else 0.
    """

    destination: TransportAddress
    type: int
    code: int
    info: int


def keep_icmp_errors(sock: socket.socket) -> bool:
    """Let the kernel keep ICMP errors for a UDP socket; its next call then fails once for each news of them.

    Returns:
        Whether it does.
    """
    if sys.platform != "linux":
        return False
    try:
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
    except OSError:
        return False
    return True


def take_icmp_errors(sock: socket.socket) -> Iterator[IcmpError]:
    """Take what was kept, the oldest first."""
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError):
        for _ in range(_MOST):
            _, ancillary, _, sockaddr = sock.recvmsg(0, _ANCILLARY_BYTES, _MSG_ERRQUEUE)
            for level, kind, data in ancillary:
                is_error = (level, kind) in ((socket.IPPROTO_IP, _IP_RECVERR), (socket.IPPROTO_IPV6, _IPV6_RECVERR))
                if not is_error or len(data) < _EXTENDED_ERROR.size:
                    continue
                _, origin, icmp_type, code, info, _ = _EXTENDED_ERROR.unpack_from(data)
                if origin in _ORIGINS and sockaddr:
                    yield IcmpError(TransportAddress.from_socket(sockaddr), icmp_type, code, info)
