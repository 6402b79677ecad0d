"""Which addresses are this host's own."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Collection, Iterable
from urllib.parse import urlsplit


def is_own(host: str, hosts: Collection[str]) -> bool:
    """Tell whether an address that a connection of ours has is still one of this host's.

    Args:
        host: An IP address, perhaps with a scope.
        hosts: Those of this host that peers may know.
    """
    address = ipaddress.ip_address(host.partition("%")[0])
    # Those of these kinds are not listed, and stay.
    return address.is_loopback or address.is_link_local or str(address) in hosts


def is_loopback_url(url: str) -> bool:
    """Tell whether a URL leads to this very host."""
    host = urlsplit(url).hostname or ""
    try:
        # Not by its first characters: anybody may own 127.example.com.
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def any_on_this_host(urls: Iterable[str]) -> bool:
    """Tell whether one of the rendezvous servers is on this very host: then it is for peers on this host."""
    return any(is_loopback_url(url) for url in urls)


async def any_leads_here(urls: Iterable[str], hosts: Collection[str]) -> bool:
    """Tell whether one of the rendezvous servers is on this very host, by whatever name or address it is reached.

    Args:
        urls: Of rendezvous servers.
        hosts: The addresses of this host.
    """
    loop = asyncio.get_running_loop()
    for name in filter(None, (urlsplit(url).hostname for url in urls)):
        try:
            found = {str(entry[4][0]).partition("%")[0] for entry in await loop.getaddrinfo(name, None)}
        except OSError:
            # Only a proxy may know the name: then it is elsewhere.
            continue
        if any(host in hosts or ipaddress.ip_address(host).is_loopback for host in found):
            return True
    return False
