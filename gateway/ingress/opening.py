"""Which version of HTTP a visitor speaks: by its first bytes, or by what TLS has settled."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Final, TypeAlias, cast

from p2p.aio.first_bytes import peek

H2_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""Source: RFC 9113 section 3.4."""
ALPN: Final = ("h2", "http/1.1")
"""What TLS offers, the preferred one first."""

MakeProtocol: TypeAlias = Callable[[ssl.SSLObject], asyncio.Protocol]


async def beginning(sock: socket.socket, *known: bytes) -> bytes:
    """Wait for the first bytes of a connection, and tell which beginning they are.

    Args:
        sock: Non-blocking; nothing is taken from it.
        *known: The beginnings that are looked for; none begins another.

    Returns:
        One of them; nothing for any other.

    Raises:
        DecodeError: The connection ended before.
        OSError: It was reset.
    """
    longest = max(map(len, known))
    data = await peek(sock, longest)
    while not data.startswith(known):
        if not any(text.startswith(data) for text in known):
            return b""
        data = await peek(sock, longest, len(data))
    return next(text for text in known if data.startswith(text))


class ByAlpn(asyncio.Protocol):
    """Gives a TLS connection to the protocol that its handshake has settled on.

    Args:
        h2: Makes the one for HTTP/2 of the TLS connection.
        h1: Makes the one for HTTP/1.1, also where nothing was settled.
    """

    def __init__(self, h2: MakeProtocol, h1: MakeProtocol) -> None:
        self._h2 = h2
        self._h1 = h1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See ``asyncio.Protocol``."""
        connection: ssl.SSLObject = transport.get_extra_info("ssl_object")
        protocol = (self._h2 if connection.selected_alpn_protocol() == "h2" else self._h1)(connection)
        cast("asyncio.Transport", transport).set_protocol(protocol)
        protocol.connection_made(transport)
