"""The end of a connection that the other side must not take for an orderly one."""

from __future__ import annotations

import contextlib
import socket
import struct
from typing import Final

_WITHOUT_LINGERING: Final = struct.pack("ii", 1, 0)


def reset_on_close(sock: socket.socket) -> None:
    """Let the close of a TCP connection be a reset (RST): what was not sent yet is thrown away."""
    with contextlib.suppress(OSError):  # it is reset already
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _WITHOUT_LINGERING)
