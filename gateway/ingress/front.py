"""Accepts visitors' connections, and learns who each visitor is before a byte of theirs is taken."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Final, NamedTuple, Self, TypeAlias

from p2p.address import TransportAddress
from p2p.aio.first_bytes import read_proxy_header
from p2p.aio.tasks import TaskScope
from p2p.errors import ConfigError, DecodeError, ErrorCode
from p2p.forward.sockets import close, prepare
from p2p.os_errors import reason_of
from p2p.proto.observed import IpNetwork, is_within

logger = logging.getLogger(__name__)

CODE_LISTEN: Final = ErrorCode("P2P-1501", "Choose another address or port, or end the program that has it.")

BACKLOG: Final = 4096
HELLO_WITHIN_S: Final = 10.0
"""How long a visitor may take for the PROXY header and the TLS hello."""
CONNECTIONS_MAX: Final = 50_000
"""Open connections of one listener; further ones wait in the kernel's queue."""
_PAUSE_S: Final = 0.1


class Arrival(NamedTuple):
    """A visitor's connection of which nothing was read that is the visitor's.

    Attributes:
        sock: Non-blocking.
        visitor: Its address, by the PROXY header of a trusted front or by the connection itself.
        local: The address that it connected to.
        is_from_front: Whether a trusted front made the connection.
    """

    sock: socket.socket
    visitor: TransportAddress
    local: TransportAddress
    is_from_front: bool


Handle: TypeAlias = Callable[[Arrival], Awaitable[None]]
"""Takes an arrival, and owns its socket from then on."""


class Front:
    """A listening port.

    Concurrency: one event loop; listens inside its ``async with`` block. Each connection has a task until it is handed
    over.

    Args:
        address: Where to listen; port 0 lets the system choose.
        handle: Takes each arrival.
        fronts: Networks of the proxies in front of this gateway.
        has_proxy_header: Whether those send a PROXY header.

    Raises:
        ConfigError: It cannot listen there.
    """

    def __init__(
        self,
        address: TransportAddress,
        handle: Handle,
        *,
        fronts: tuple[IpNetwork, ...] = (),
        has_proxy_header: bool = False,
    ) -> None:
        self._handle = handle
        self._fronts = fronts
        self._has_proxy_header = has_proxy_header
        self._scope = TaskScope()
        family = socket.AF_INET6 if address.is_ipv6 else socket.AF_INET
        try:
            self._socket = socket.create_server(address, family=family, backlog=BACKLOG)
        except OSError as error:
            raise ConfigError(f"cannot listen on {address}: {reason_of(error)}", code=CODE_LISTEN) from error
        self._socket.setblocking(False)

    async def __aenter__(self) -> Self:
        await self._scope.__aenter__()
        self._scope.start(self._accept(), name=f"accept on {self.address}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self._scope.__aexit__(None, None, None)
        finally:
            self._socket.close()

    @property
    def address(self) -> TransportAddress:
        """Where it listens."""
        return TransportAddress.from_socket(self._socket.getsockname())

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        places = asyncio.Semaphore(CONNECTIONS_MAX)
        while True:
            await places.acquire()
            try:
                sock, _ = await loop.sock_accept(self._socket)
            except OSError as error:
                # No file descriptors, most likely: the connection stays in the kernel's queue.
                logger.warning("accept on %s failed: %s", self.address, error)
                places.release()
                await asyncio.sleep(_PAUSE_S)
                continue
            task = self._scope.start(self._welcome(sock), name="visitor")
            task.add_done_callback(lambda _: places.release())

    async def _welcome(self, sock: socket.socket) -> None:
        try:
            prepare(sock)
            visitor, local = (TransportAddress.from_socket(name) for name in (sock.getpeername(), sock.getsockname()))
            is_from_front = is_within(visitor.host, self._fronts)
            if is_from_front and self._has_proxy_header:
                async with asyncio.timeout(HELLO_WITHIN_S):
                    header = await read_proxy_header(sock)
                visitor, local = header.source or visitor, header.destination or local
        except (OSError, DecodeError, TimeoutError) as error:
            logger.info("connection to %s dropped: %s", self.address, error)
            close(sock, reset=True)
            return
        except BaseException:
            close(sock, reset=True)
            raise
        await self._handle(Arrival(sock, visitor, local, is_from_front))
