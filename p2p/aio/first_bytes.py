"""The first bytes of a connection that was accepted: looked at, or taken when they are a PROXY header."""

from __future__ import annotations

import asyncio
import socket
from typing import Final

from p2p.errors import DecodeError
from p2p.proto.proxy_protocol import HEADER_MAX_BYTES, ProxyHeader, decode_untrusted, header_length_untrusted

_PEEK_AGAIN_S: Final = 0.005


async def peek(sock: socket.socket, size: int, beyond: int = 0) -> bytes:
    """Look at the first bytes of a connection without taking them.

    Args:
        sock: Non-blocking, without a reader in the event loop.
        size: How many at most.
        beyond: How many were seen before; more are waited for.

    Raises:
        DecodeError: The connection ended before.
        OSError: It was reset.
    """
    while True:
        try:
            data = sock.recv(size, socket.MSG_PEEK)
        except BlockingIOError:
            await _readable(sock)
            continue
        if not data:
            raise DecodeError("the connection ended before its first bytes were whole")
        if len(data) > beyond:
            return data
        # What was seen already keeps the socket readable, so the event loop cannot tell of more.
        await asyncio.sleep(_PEEK_AGAIN_S)


async def read_proxy_header(sock: socket.socket) -> ProxyHeader:
    """Take the PROXY header off a connection, and nothing of what follows: that may be a TLS handshake.

    Args:
        sock: Non-blocking, not read from yet.

    Raises:
        DecodeError: It begins with something else, or ends too early.
        OSError: It was reset.
    """
    data = b""
    while True:
        seen = await peek(sock, HEADER_MAX_BYTES)
        length = header_length_untrusted(data + seen)
        # As long as nobody can tell where the header ends, it has not ended: all that is here is part of it.
        data += sock.recv(len(seen) if length is None else length - len(data))
        if len(data) == length:
            return decode_untrusted(data)


async def _readable(sock: socket.socket) -> None:
    """Wait until there is something to read, or the end."""
    loop = asyncio.get_running_loop()
    is_readable = asyncio.Event()
    loop.add_reader(sock, is_readable.set)
    try:
        await is_readable.wait()
    finally:
        loop.remove_reader(sock)
