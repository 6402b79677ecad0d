"""UDP services for tests: one that sends everything back, and clients of it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from p2p.address import TransportAddress
from p2p.target import UdpTarget


@asynccontextmanager
async def udp_echo_service(host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[UdpTarget]:
    """A service that sends each datagram back to where it came from, empty ones too, which asyncio does not."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.bind((host, port))

        def echo() -> None:
            sock.sendto(*sock.recvfrom(1 << 16))

        loop.add_reader(sock, echo)
        try:
            yield UdpTarget(host, sock.getsockname()[1])
        finally:
            loop.remove_reader(sock)


@contextmanager
def udp_client(address: TransportAddress) -> Iterator[socket.socket]:
    """A socket that exchanges datagrams with an address only."""
    with socket.socket(socket.AF_INET6 if address.is_ipv6 else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.connect(address)
        yield sock


async def receive(sock: socket.socket, within_s: float = 5.0) -> bytes:
    """Wait for one datagram."""
    async with asyncio.timeout(within_s):
        return await asyncio.get_running_loop().sock_recv(sock, 1 << 16)


async def exchange(sock: socket.socket, datagram: bytes, *, attempts: int = 5) -> bytes:
    """Send a datagram until an answer comes, as programs do that use UDP."""
    for _ in range(attempts - 1):
        sock.send(datagram)
        try:
            return await receive(sock, 1.0)
        except TimeoutError:
            continue
    sock.send(datagram)
    return await receive(sock)
