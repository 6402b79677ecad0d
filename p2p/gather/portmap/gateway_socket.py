"""A UDP socket that speaks to one router and hears nobody else."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable

from p2p.gather.interfaces import Gateway
from p2p.os_errors import reason_of
from p2p.proto.portmap.errors import PortMappingError

logger = logging.getLogger(__name__)

_READ_BYTES = 2048
_READS_AT_ONCE = 16


class GatewaySocket:
    """Connected, so that the kernel drops what others send, and tells us when nobody listens at the router's port.

    Concurrency: one event loop; no task. Callbacks run on the loop.

    Args:
        loop: The event loop.
        gateway: The router, and the address of ours that it is reached from.
        port: The router's port.
        on_datagram: Told each datagram.
        on_refused: Told that nobody listens there.

    Raises:
        PortMappingError: There is no way to the router any more.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        gateway: Gateway,
        port: int,
        *,
        on_datagram: Callable[[bytes], object],
        on_refused: Callable[[], object],
    ) -> None:
        self._loop = loop
        self._on_datagram = on_datagram
        self._on_refused = on_refused
        self._socket = socket.socket(socket.AF_INET6 if gateway.is_ipv6 else socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            self._socket.bind((gateway.source, 0))
            self._socket.connect(gateway.socket_address(port))
        except OSError as error:
            self._socket.close()
            raise PortMappingError(f"the router {gateway.host} cannot be reached: {reason_of(error)}") from error
        loop.add_reader(self._socket, self._readable)

    def send(self, data: bytes) -> None:
        """Send a datagram; one that the kernel does not take is lost."""
        try:
            self._socket.send(data)
        except ConnectionRefusedError:
            # About the datagram before; this one was not sent.
            self._loop.call_soon(self._refused)
        except OSError as error:
            logger.debug("nothing sent to the router: %s", error)

    def close(self) -> None:
        """Close it; no callback is called after this. A second call does nothing."""
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
            self._socket.close()

    def _readable(self) -> None:
        for _ in range(_READS_AT_ONCE):
            try:
                data = self._socket.recv(_READ_BYTES)
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionRefusedError:
                self._refused()
            except OSError as error:
                logger.debug("nothing heard from the router: %s", error)
                return
            else:
                self._on_datagram(data)
            if self._socket.fileno() < 0:
                return

    def _refused(self) -> None:
        if self._socket.fileno() >= 0:
            self._on_refused()
