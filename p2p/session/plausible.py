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
"""This network, reserved and broadcast addresses; and IPv6 that hides an IPv4 address from the rules below.
Source: RFC 6890, RFC 6052."""


def is_plausible(address: TransportAddress, own: Iterable[TransportAddress]) -> bool:
    """Tell whether a peer may be at an address.

    Loopback and link-local addresses are its own only when we have such an address ourselves: then both are on this
    host, or on a network without a router.

    Args:
        address: The peer's, by its own word.
        own: Our candidates' addresses.
    """
    ip = address.ip
    if ip.is_loopback:
        return any(ours.ip.is_loopback for ours in own)
    if ip.is_link_local:
        return any(ours.ip.is_link_local for ours in own)
    return not any(ip in network for network in _NOBODY if network.version == ip.version)
