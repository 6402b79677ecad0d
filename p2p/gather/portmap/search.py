"""Finding the UPnP description of the router, and nobody else's."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Final

from p2p.address import TransportAddress
from p2p.defaults import PORTMAP_SSDP_ANSWERS, PORTMAP_SSDP_S
from p2p.errors import DecodeError
from p2p.gather.interfaces import Gateway
from p2p.os_errors import reason_of
from p2p.proto.portmap.device import url_on_host_untrusted
from p2p.proto.portmap.errors import CODE_UNUSABLE, PortMappingError
from p2p.proto.portmap.ssdp import SEARCH_TARGETS, SSDP_GROUP, decode_answer_untrusted, encode_search

logger = logging.getLogger(__name__)

_READ_BYTES: Final = 4096
_SENT_AT_S: Final = (0.0, 0.1, 0.3)
_TTL: Final = 2
"""Source: UPnP Device Architecture 1.1 section 1.3.2."""


async def find_description(
    gateway: Gateway, *, within_s: float = PORTMAP_SSDP_S, group: TransportAddress = SSDP_GROUP
) -> str:
    """Search for the router: by the group, and by its own address, which some routers answer sooner and some only.

    Args:
        gateway: Only answers from its address are heard, and only for a description there.
        within_s: How long answers are waited for, in seconds.
        group: Where everybody is asked; the router itself is asked at the same port.

    Returns:
        The URL of the description.

    Raises:
        PortMappingError: It does not answer, or not with what can be used.
    """
    search = _Search(asyncio.get_running_loop(), gateway, group)
    try:
        async with asyncio.timeout(within_s):
            return await search.found
    except TimeoutError:
        text = f"the router {gateway.host} does not speak UPnP"
        if search.refused:
            raise PortMappingError(f"{text} as it should: {search.refused}", code=CODE_UNUSABLE) from None
        raise PortMappingError(text) from None
    finally:
        search.close()


class _Search:
    """The socket of one search."""

    def __init__(self, loop: asyncio.AbstractEventLoop, gateway: Gateway, group: TransportAddress) -> None:
        self.found: asyncio.Future[str] = loop.create_future()
        self.refused = ""
        self._loop = loop
        self._gateway = gateway
        self._destinations = (group, TransportAddress(gateway.host, group.port))
        self._answers = 0
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            self._socket.bind((gateway.source, 0))
            self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, _TTL)
            self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(gateway.source))
        except OSError as error:
            self._socket.close()
            raise PortMappingError(f"the router {gateway.host} cannot be reached: {reason_of(error)}") from error
        loop.add_reader(self._socket, self._readable)
        self._timers = [loop.call_later(at_s, self._send) for at_s in _SENT_AT_S]

    def close(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._loop.remove_reader(self._socket)
        self._socket.close()
        self.found.cancel()

    def _send(self) -> None:
        for destination in self._destinations:
            for target in SEARCH_TARGETS:
                try:
                    self._socket.sendto(encode_search(target, destination), destination)
                except OSError as error:
                    logger.debug("no search sent to %s: %s", destination, error)

    def _readable(self) -> None:
        try:
            data, source = self._socket.recvfrom(_READ_BYTES)
        except OSError as error:
            logger.debug("no answer to a search: %s", error)
            return
        self._answers += 1
        if self._answers > PORTMAP_SSDP_ANSWERS:
            self._loop.remove_reader(self._socket)
        elif source[0] == self._gateway.host and not self.found.done():
            self._take(data)

    def _take(self, data: bytes) -> None:
        try:
            answer = decode_answer_untrusted(data)
            if answer.is_gateway:
                self.found.set_result(url_on_host_untrusted(answer.location, self._gateway.host))
        except DecodeError as error:
            self.refused = self.refused or error.detail
            logger.info("answer of the router %s not used: %s", self._gateway.host, error.detail)
