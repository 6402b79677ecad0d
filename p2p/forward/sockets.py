"""Socket options every forwarded connection gets, the two ways to end one, and what the kernel has room for."""

from __future__ import annotations

import fcntl
import socket
import struct
import termios
from typing import Final, NamedTuple

from p2p.address import TransportAddress
from p2p.aio.reset import reset_on_close

_INT: Final = struct.Struct("i")
_NO_INT: Final = bytes(_INT.size)


def prepare(sock: socket.socket) -> None:
    """Make a connection non-blocking, undelayed, and able to notice a peer that has vanished."""
    sock.setblocking(False)
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def close(sock: socket.socket, *, reset: bool) -> None:
    """Close a connection.

    Args:
        sock: It must have no reader or writer in the event loop.
        reset: Whether the other end must see a reset (TCP RST) rather than an orderly end.
    """
    if reset:
        reset_on_close(sock)
    sock.close()


class Addresses(NamedTuple):
    """Whose connection it is, and what it was made to; None where there is no IP address."""

    origin: TransportAddress | None
    local: TransportAddress | None


def socket_addresses(sock: socket.socket) -> Addresses:
    """Tell the remote and the local address of a connection."""
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return Addresses(None, None)
    try:
        return Addresses(
            TransportAddress.from_socket(sock.getpeername()), TransportAddress.from_socket(sock.getsockname())
        )
    except OSError:  # the connection was reset before anyone looked
        return Addresses(None, None)


def absorbable_bytes(sock: socket.socket) -> int:
    """Tell how many bytes a connection will surely take without blocking, even if its reader has stopped.

    The kernel counts its own bookkeeping as well; a quarter is left for that, of which it needs 2 % on loopback.
    """
    try:
        queued: int = _INT.unpack(fcntl.ioctl(sock, termios.TIOCOUTQ, _NO_INT))[0]
        return max(0, sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) * 3 // 4 - queued)
    except OSError:  # no such counter for this kind of socket
        return 0
