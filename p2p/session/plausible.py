"""Which addresses that a peer calls its own are worth a check.

A check is a small datagram to wherever the peer says. It must not reach what only this host can reach: services on
loopback and link-local addresses believe that whoever speaks to them is local.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Final

from p2p.address import TransportAddress

_NOBODY: Final = tuple(
    ipaddress.ip_network(network) for network in ("0.0.0.0/8", "240.0.0.0/4", "::/96", "64:ff9b::/96")
)
"""This network, reserved and broadcast addresses, and IPv6 that hides an IPv4 address from the rules below.
Source: RFC 6890, RFC 6052."""


def is_plausible(address: TransportAddress, hosts: Iterable[str]) -> bool:
    """Tell whether a peer may be at an address.

    At a loopback or link-local address only when we are known by such an address ourselves: then both are on this host,
    or on a network without a router.

    Args:
        address: The peer's, by its own word.
        hosts: Our IP addresses that peers may know.
    """
    ip = address.ip
    if ip.is_loopback:
        return any(ipaddress.ip_address(host).is_loopback for host in hosts)
    if ip.is_link_local:
        return any(ipaddress.ip_address(host).is_link_local for host in hosts)
    return not any(ip in network for network in _NOBODY if network.version == ip.version)
