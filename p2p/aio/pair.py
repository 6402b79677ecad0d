"""A connection whose two ends are both in this process."""

from __future__ import annotations

import socket
from typing import Final

_PATIENCE_S: Final = 0.2
"""Connecting on loopback takes 50 µs; it takes longer only where something interferes."""
_STRANGERS_MAX: Final = 4


def stream_pair() -> tuple[socket.socket, socket.socket]:
    """Make two connected stream sockets.

    They are TCP on loopback, whose buffers the kernel lets grow to megabytes as they are used; those of
    ``socket.socketpair`` stay at 200 kB, and a flow's credit, which counts on the kernel's buffer, with them. The port
    listens for the moment that it takes, and nobody else who connects in it is let in. Where there is no loopback,
    ``socket.socketpair`` does.

    Returns:
        Both ends, non-blocking.
    """
    near, far = _tcp_pair() or socket.socketpair()
    for sock in (near, far):
        sock.setblocking(False)
    return near, far


def _tcp_pair() -> tuple[socket.socket, socket.socket] | None:
    try:
        with socket.create_server(("127.0.0.1", 0), backlog=_STRANGERS_MAX) as listener:
            near = socket.create_connection(listener.getsockname(), _PATIENCE_S)
            far = _accept(listener, near)
    except OSError:
        return None
    if far is None:
        near.close()
        return None
    for sock in (near, far):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return near, far


def _accept(listener: socket.socket, near: socket.socket) -> socket.socket | None:
    """Take the connection of ``near``, and close those of others."""
    listener.settimeout(_PATIENCE_S)
    for _ in range(_STRANGERS_MAX):
        try:
            far, source = listener.accept()
        except OSError:
            break
        if source == near.getsockname():
            return far
        far.close()
    return None
