"""What routers tell everybody on the LAN when they have started or have another outside address."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
import struct
from collections.abc import Callable
from typing import Final

from p2p.gather.interfaces import Gateway

logger = logging.getLogger(__name__)

ANNOUNCEMENT_PORT: Final = 5350
"""Where hosts listen. Source: RFC 6886 section 3.2.1, RFC 6887 section 19.1."""
GROUP: Final = "224.0.0.1"
GROUP6: Final = "ff02::1"

_READ_BYTES: Final = 2048
_READS_AT_ONCE: Final = 16
_MEMBER: Final = struct.Struct("=4s4si")
_MEMBER6: Final = struct.Struct("=16sI")


class AnnouncementSocket:
    """Hears the announcements of one router, and nobody else's, beside other programs that listen on the port.

    A system that lets nobody listen, or a program that shares the port with nobody, makes it deaf: what was announced
    is found out at the next renewal then.

    Concurrency: one event loop; no task. Callbacks run on the loop.

    Args:
        loop: The event loop.
        gateway: The router; only what its address sends is taken.
        on_announcement: Told each datagram.
        port: Where to listen.

    Source: RFC 6886 section 3.2.1, RFC 6887 section 14.1.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        gateway: Gateway,
        *,
        on_announcement: Callable[[bytes], object],
        port: int = ANNOUNCEMENT_PORT,
    ) -> None:
        self._loop = loop
        self._gateway = gateway
        self._on_announcement = on_announcement
        self._socket: socket.socket | None = None
        listening = socket.socket(socket.AF_INET6 if gateway.is_ipv6 else socket.AF_INET, socket.SOCK_DGRAM)
        try:
            listening.setblocking(False)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            _join(listening, gateway, port)
        except (OSError, AttributeError) as error:
            listening.close()
            logger.info("announcements of the router %s are not heard: %s", gateway.host, error)
            return
        self._socket = listening
        loop.add_reader(listening, self._readable)

    def close(self) -> None:
        """Close it; no callback is called after this. A second call does nothing."""
        listening, self._socket = self._socket, None
        if listening is not None:
            self._loop.remove_reader(listening)
            listening.close()

    def _readable(self) -> None:
        for _ in range(_READS_AT_ONCE):
            if self._socket is None:
                return
            try:
                data, source = self._socket.recvfrom(_READ_BYTES)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                logger.debug("no announcement heard: %s", error)
                return
            if source[0].partition("%")[0] == self._gateway.host:
                self._on_announcement(data)


def _join(listening: socket.socket, gateway: Gateway, port: int) -> None:
    """Bind to the group, so that nothing that is sent to this host alone is heard, and join it on the way out."""
    index = socket.if_nametoindex(gateway.interface)
    if gateway.is_ipv6:
        listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind((GROUP6, port, 0, index))
        member = _MEMBER6.pack(ipaddress.IPv6Address(GROUP6).packed, index)
        listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, member)
    else:
        listening.bind((GROUP, port))
        member = _MEMBER.pack(socket.inet_aton(GROUP), socket.inet_aton(gateway.source), index)
        listening.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
