"""Which addresses belong to this host."""

from __future__ import annotations

import ipaddress
import logging
import socket
from collections.abc import Iterable
from typing import Final

from relay.core.special_ranges import IPAddress

logger = logging.getLogger(__name__)

_NOBODY_HAS: Final = ipaddress.IPv4Address("240.0.0.1")


class OwnAddresses:
    """Asks the kernel, at the moment of the question: interfaces come and go, and a list would be out of date.

    An address is the host's own if a socket can be bound to it, which goes for subnet broadcast addresses as well.

    Args:
        known: Addresses that are the host's own whatever the kernel says, such as the outside of a one-to-one NAT.
    """

    def __init__(self, known: Iterable[str]) -> None:
        self._known = frozenset(ipaddress.ip_address(host) for host in known)
        self._can_ask = not _can_bind(_NOBODY_HAS)
        if not self._can_ask:
            logger.warning("net.ipv4.ip_nonlocal_bind is set: only configured addresses are known as this host's own")

    def __call__(self, address: IPAddress) -> bool:
        """Tell whether an address belongs to this host."""
        return address in self._known or (self._can_ask and _can_bind(address))


def _can_bind(address: IPAddress) -> bool:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True
