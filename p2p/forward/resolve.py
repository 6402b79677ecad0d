"""Names of services, looked up beside the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import Callable
from typing import Any, TypeAlias

from p2p import defaults

SocketAddress: TypeAlias = tuple[socket.AddressFamily, Any]
"""What it takes to connect a socket."""
Found: TypeAlias = Callable[[list[SocketAddress]], None]
"""Called once with the addresses, in the system's order of preference; with none if the name does not resolve."""


class Resolver:
    """Resolves names of hosts, and remembers them for a moment.

    Args:
        loop: The event loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._known: dict[tuple[str, int, int], tuple[float, list[SocketAddress]]] = {}

    def find(self, host: str, port: int, kind: socket.SocketKind, found: Found) -> None:
        """Look a host up.

        Args:
            host: A name, or an IP address, for which ``found`` is called at once.
            port: The port.
            kind: The kind of socket.
            found: May be called before this returns.
        """
        with contextlib.suppress(ValueError):
            address = ipaddress.ip_address(host)
            found([(socket.AF_INET if address.version == 4 else socket.AF_INET6, (host, port))])
            return
        key = host, port, int(kind)
        expires_at, addresses = self._known.get(key, (0.0, []))
        if self._loop.time() < expires_at:
            found(addresses)
            return

        def resolved(future: asyncio.Future[list[SocketAddress]]) -> None:
            if future.cancelled():
                return
            addresses = [] if future.exception() is not None else future.result()
            if addresses:
                self._known[key] = (self._loop.time() + defaults.FORWARD_NAME_TTL_S, addresses)
            found(addresses)

        self._loop.run_in_executor(None, _look_up, host, port, kind).add_done_callback(resolved)


def _look_up(host: str, port: int, kind: socket.SocketKind) -> list[SocketAddress]:
    return [(family, address) for family, _, _, _, address in socket.getaddrinfo(host, port, type=kind)]
