"""What systems offer to a UDP socket, and how to ask for it; everything beyond plain UDP may be missing."""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeAlias

from p2p.address import TransportAddress
from p2p.defaults import UDP_RECEIVE_BYTES
from p2p.errors import ConnectivityError, ErrorCode
from p2p.os_errors import reason_of

CODE_BIND: Final = ErrorCode(
    "P2P-4101", "Choose an address of this machine and a port that no other program uses, or port 0 for any."
)
# Linux numbers that the socket module of Python 3.11 does not name. Source: linux/udp.h, asm-generic/socket.h.
SOL_UDP: Final = 17
UDP_SEGMENT: Final = 103
UDP_GRO: Final = 104
_SO_SNDBUFFORCE: Final = 32
_SO_RCVBUFFORCE: Final = 33
SO_RXQ_OVFL: Final = 40
_IP_MTU_DISCOVER: Final = 10
_IPV6_MTU_DISCOVER: Final = 23
_IP_MTU: Final = 14
_IPV6_MTU: Final = 24
_PMTUDISC_WANT: Final = 1
_PMTUDISC_DO: Final = 2
_PMTUDISC_PROBE: Final = 3

_Received: TypeAlias = tuple[bytes, list[tuple[int, int, bytes]], tuple[Any, ...]]


def receiver(sock: socket.socket) -> Callable[[], _Received]:
    """Make the function that takes one batch off the socket: payload, ancillary data, source."""
    if sys.platform == "win32":  # no recvmsg there
        return lambda: _without_ancillary(sock.recvfrom(UDP_RECEIVE_BYTES))
    ancillary_bytes = socket.CMSG_SPACE(4) * 2
    recvmsg = sock.recvmsg

    def receive() -> _Received:
        data, ancillary, _flags, sockaddr = recvmsg(UDP_RECEIVE_BYTES, ancillary_bytes)
        return data, ancillary, sockaddr

    return receive


def _without_ancillary(received: tuple[bytes, tuple[Any, ...]]) -> _Received:
    return received[0], [], received[1]


def bind(local: TransportAddress, remote: TransportAddress | None = None, *, share_port: bool = False) -> socket.socket:
    """Make a non-blocking socket at an address.

    Args:
        local: Where; port 0 lets the kernel choose. An IPv6 socket takes IPv6 only.
        remote: Connect the socket to this address; None leaves it open to all.
        share_port: Let other sockets of this user that ask for it as well be bound to the same address (Linux).

    Raises:
        ConnectivityError: The address is taken or not of this machine, there is no route to the other one, or the
            process has no more descriptors.
    """
    made: socket.socket | None = None
    try:
        made = socket.socket(socket.AF_INET6 if local.is_ipv6 else socket.AF_INET, socket.SOCK_DGRAM)
        made.setblocking(False)
        if local.is_ipv6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if share_port:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind(local)
        if remote is not None:
            made.connect(remote)
    except OSError as error:
        if made is not None:
            made.close()
        raise ConnectivityError(f"cannot bind UDP {local}: {reason_of(error)}", code=CODE_BIND) from error
    return made


def enable(sock: socket.socket, level: int, option: int) -> bool:
    """Switch a Linux socket option on; False where the system does not have it."""
    if sys.platform != "linux":
        return False
    try:
        sock.setsockopt(level, option, 1)
    except OSError:
        return False
    return True


def has_gso(sock: socket.socket) -> bool:
    """Whether the kernel cuts one buffer into many datagrams."""
    if sys.platform != "linux":
        return False
    try:
        sock.getsockopt(SOL_UDP, UDP_SEGMENT)
    except OSError:
        return False
    return True


def size_buffers(sock: socket.socket, size: int) -> None:
    """Ask for large kernel buffers: beyond the system's limit with the right to, up to it without."""
    for option, force in ((socket.SO_RCVBUF, _SO_RCVBUFFORCE), (socket.SO_SNDBUF, _SO_SNDBUFFORCE)):
        with contextlib.suppress(OSError):
            if sys.platform == "linux":
                sock.setsockopt(socket.SOL_SOCKET, force, size)
                continue
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, option, size)


CAN_FORBID_FRAGMENTS: Final = sys.platform == "linux"
"""Whether ``forbid_fragments`` does anything here."""


def forbid_fragments(sock: socket.socket) -> None:
    """Set the Don't Fragment bit and ignore what the kernel believes about the path's MTU."""
    _discover_mtu(sock, _PMTUDISC_PROBE)


@contextlib.contextmanager
def whole_datagrams(sock: socket.socket) -> Iterator[None]:
    """Within the block, set the Don't Fragment bit and refuse (EMSGSIZE) what the path is known not to carry."""
    _discover_mtu(sock, _PMTUDISC_DO)
    try:
        yield
    finally:
        _discover_mtu(sock, _PMTUDISC_WANT)


def path_mtu(source: TransportAddress, destination: TransportAddress) -> int:
    """Return what the kernel believes that one packet to a destination may have, headers included; 0 if it is unknown.

    Args:
        source: Whose host the packet leaves from.
        destination: Where it goes.
    """
    if sys.platform != "linux":
        return 0
    family = socket.AF_INET6 if destination.is_ipv6 else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((source.host, 0))
            probe.connect(destination)
            if destination.is_ipv6:
                return probe.getsockopt(socket.IPPROTO_IPV6, _IPV6_MTU)
            return probe.getsockopt(socket.IPPROTO_IP, _IP_MTU)
    except OSError:
        return 0


def _discover_mtu(sock: socket.socket, how: int) -> None:
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError):
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, how)
        else:
            sock.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, how)
