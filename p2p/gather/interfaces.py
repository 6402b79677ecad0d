"""This host's own addresses. The only module that knows ``netifaces``."""

from __future__ import annotations

import ipaddress

import netifaces


def host_addresses(*, loopback: bool = False) -> tuple[str, ...]:
    """List the addresses a peer could reach this host at, the preferred ones first.

    Link-local addresses are left out: they need a scope that means nothing to the peer. IPv6 comes before IPv4, and
    the interface of the default route before the others.

    Args:
        loopback: Whether to list the loopback addresses instead: for two peers on this very host.

    Returns:
        IP addresses in canonical text, each once.
    """
    defaults = netifaces.gateways().get("default", {})
    default_interfaces = {entry[1] for entry in defaults.values()} if isinstance(defaults, dict) else set()
    names = sorted(netifaces.interfaces(), key=lambda name: name not in default_interfaces)
    found: dict[str, None] = {}
    for family in (netifaces.AF_INET6, netifaces.AF_INET):
        for name in names:
            for entry in netifaces.ifaddresses(name).get(family, ()):
                address = ipaddress.ip_address(entry["addr"].partition("%")[0])
                if address.is_link_local or address.is_unspecified or address.is_multicast:
                    continue
                if address.is_loopback is not loopback:
                    continue
                found[str(address)] = None
    return tuple(found)
