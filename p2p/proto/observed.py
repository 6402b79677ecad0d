"""Where a client really is, when a reverse proxy stands in front."""

from __future__ import annotations

import ipaddress
from typing import TypeAlias

from p2p.address import TransportAddress
from p2p.errors import ConfigError

IpNetwork: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


def observed_address(
    socket_address: TransportAddress, forwarded_for: str | None, trusted_proxies: tuple[IpNetwork, ...]
) -> TransportAddress:
    """Find the client's address.

    ``X-Forwarded-For`` is read from its end, as far as trusted proxies wrote it: the first address that is no
    trusted proxy is the client. Everything left of it is the client's own claim and is ignored.

    Args:
        socket_address: Where the connection comes from.
        forwarded_for: The header, if there is one; several are joined by commas.
        trusted_proxies: The networks of the proxies in front of this server.

    Returns:
        The address; its port is 0 when a proxy did not tell it.
    """
    client = socket_address
    if not forwarded_for or not is_within(client.host, trusted_proxies):
        return client
    for part in reversed(forwarded_for.split(",")):
        try:
            client = TransportAddress.parse(part, default_port=0)
        except ConfigError:
            break
        if not is_within(client.host, trusted_proxies):
            break
    return client


def is_within(host: str, networks: tuple[IpNetwork, ...]) -> bool:
    """Whether an address is in any of the networks."""
    if not networks:
        return False
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return any(address in network for network in networks)
