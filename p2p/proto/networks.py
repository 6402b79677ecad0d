"""What counts as one place: the unit of everything that is limited for each address."""

from __future__ import annotations

import ipaddress


def network_of(host: str) -> str:
    """Name the network of a host: an IPv4 host by itself, the /64 of an IPv6 host, as no site has a smaller one.

    Args:
        host: An IP address.
    """
    return ipaddress.IPv6Address(host).packed[:8].hex() if ":" in host else host
