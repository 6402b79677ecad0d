"""Single HTTP requests over a connection that is there, as any client would send them."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass

from p2p.address import TransportAddress


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


async def connection(address: TransportAddress) -> socket.socket:
    """Connect to an address, for ``request``."""
    sock = socket.socket(socket.AF_INET)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, (address.host, address.port))
    return sock


async def request(
    sock: socket.socket | None, path: str, *, method: str = "GET", body: bytes = b"", **headers: str
) -> Answer:
    """Send one request and read the answer to its end.

    Args:
        sock: It is closed afterwards.
        path: As it goes on the wire.
        method: The method.
        body: The content.
        **headers: With underscores for hyphens.
    """
    assert sock is not None
    reader, writer = await asyncio.open_connection(sock=sock)
    try:
        lines = [f"{method} {path} HTTP/1.1", "Host: p2p", "Connection: close"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        head, _, rest = (await reader.read(-1)).partition(b"\r\n\r\n")
    finally:
        writer.close()
        await writer.wait_closed()
    first, *more = head.decode("latin-1").split("\r\n")
    fields = dict(line.split(": ", 1) for line in more)
    return Answer(int(first.split()[1]), fields, rest)
