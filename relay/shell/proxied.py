"""Connections that a trusted front passes on, with a PROXY header that names the client."""

from __future__ import annotations

import asyncio
import socket
from typing import Final

from p2p.errors import DecodeError
from p2p.proto.proxy_protocol import ProxyHeader, decode_untrusted, header_length_untrusted

_V1_START: Final = b"PROXY "
_SHORTEST_BYTES: Final = 15
"""Of either version's headers, so that reading them never takes a byte of what follows."""
_V2_FIXED_BYTES: Final = 16


async def read_header(loop: asyncio.AbstractEventLoop, connection: socket.socket) -> ProxyHeader:
    """Take the header off a connection, and nothing of what follows: that may be a TLS handshake.

    Args:
        loop: The event loop.
        connection: Accepted, non-blocking, not read from yet.

    Raises:
        DecodeError: It begins with something else, or ends too early.
        OSError: The connection failed.

    Source: https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt, versions 1 and 2.
    """
    data = b""
    wanted = _SHORTEST_BYTES
    while wanted:
        chunk = await loop.sock_recv(connection, wanted)
        if not chunk:
            raise DecodeError("the connection ended within its PROXY header")
        data += chunk
        length = header_length_untrusted(data)
        if length is not None:
            wanted = length - len(data)
        elif len(data) < _SHORTEST_BYTES:
            wanted = _SHORTEST_BYTES - len(data)
        else:
            # A line tells its length by its end only; it has 107 bytes at most, and they are here already.
            wanted = 1 if data.startswith(_V1_START) else _V2_FIXED_BYTES - len(data)
    return decode_untrusted(data)
