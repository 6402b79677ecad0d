"""This host's own addresses, and its ways to the outside. The only module that knows ``netifaces``."""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import netifaces

from p2p.address import TransportAddress

try:
    import fcntl
except ImportError:  # pragma: no cover -- not on Windows
    _HAS_FLAGS = False
else:
    _HAS_FLAGS = True

_SIOCGIFFLAGS: Final = 0x8913
_INTERFACE_REQUEST: Final = struct.Struct("16sH22x")
_IFF_RUNNING: Final = 0x40
# Addresses that are nowhere, and so are reached by the default route if by any. Nothing is ever sent there.
_OUTSIDE: Final = ("198.18.0.1", "2001:db8::1")
_ANY_PORT: Final = 9


@dataclass(frozen=True, slots=True)
class NetworkState:
    """Where this host is in the network.

    Attributes:
        addresses: As of ``host_addresses``.
        way_out: What leads to the outside: gateways and their interfaces, and the addresses that packets leave from.
            Empty without a default route, and where only this host matters.
    """

    addresses: tuple[str, ...]
    way_out: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Gateway:
    """The router that a default route leads to.

    Attributes:
        host: Its IP address on our side, without a scope.
        interface: Ours, by which it is reached.
        source: The address of ours that it knows us by: for IPv6 not a link-local one, though its own may be.
    """

    host: str
    interface: str
    source: str

    @property
    def is_ipv6(self) -> bool:
        """Whether it is the one for IPv6."""
        return ":" in self.host

    def socket_address(self, port: int) -> tuple[str, int] | tuple[str, int, int, int]:
        """Its address as the socket module wants it, with the scope that a link-local one needs.

        Args:
            port: A port of the router's.

        Raises:
            OSError: The interface is gone.
        """
        if not self.is_ipv6:
            return self.host, port
        is_local = ipaddress.ip_address(self.host).is_link_local
        return self.host, port, 0, socket.if_nametoindex(self.interface) if is_local else 0


def default_gateways() -> tuple[Gateway, ...]:
    """List the routers that the default routes lead to, one for each address family that has one."""
    found = []
    for address, interface in _default_routes():
        host = address.partition("%")[0]
        if ipaddress.ip_address(host).is_unspecified:
            continue
        # The address that a router of IPv6 knows us by is not the link-local one that leads to it.
        if (source := source_towards(_OUTSIDE[1] if ":" in host else host)) is not None:
            found.append(Gateway(host, interface, source))
    return tuple(found)


def network_state(*, loopback: bool = False) -> NetworkState:
    """Look where this host is in the network now.

    Args:
        loopback: See ``host_addresses``.
    """
    if loopback:
        return NetworkState(host_addresses(loopback=True), ())
    gateways = sorted(f"{gateway} {interface}" for gateway, interface in _default_routes())
    return NetworkState(host_addresses(), (*gateways, *_sources()))


def host_addresses(*, loopback: bool = False) -> tuple[str, ...]:
    """List the addresses a peer could reach this host at, the preferred ones first.

    Link-local addresses are left out: they need a scope that means nothing to the peer. So are those of interfaces
    that are down or have no carrier. IPv6 comes before IPv4, and the interface of the default route before the others.

    Args:
        loopback: Whether to list the loopback addresses instead: for two peers on this very host.

    Returns:
        IP addresses in canonical text, each once.
    """
    default_interfaces = {interface for _, interface in _default_routes()}
    names = sorted(_running(netifaces.interfaces()), key=lambda name: name not in default_interfaces)
    found: dict[str, None] = {}
    for family in (netifaces.AF_INET6, netifaces.AF_INET):
        for name in names:
            for entry in _entries(name, family):
                address = ipaddress.ip_address(entry["addr"].partition("%")[0])
                if address.is_link_local or address.is_unspecified or address.is_multicast:
                    continue
                if address.is_loopback is not loopback:
                    continue
                found[str(address)] = None
    return tuple(found)


def _entries(name: str, family: int) -> Sequence[Mapping[str, str]]:
    try:
        return netifaces.ifaddresses(name).get(family, ())
    except ValueError:
        # It was there a moment ago.
        return ()


def _default_routes() -> list[tuple[str, str]]:
    """Gateway and interface of each address family's default route."""
    defaults = netifaces.gateways().get("default", {})
    return [(entry[0], entry[1]) for entry in defaults.values()] if isinstance(defaults, dict) else []


def _running(names: Collection[str]) -> list[str]:
    """Leave out interfaces that are down or have no carrier; where that cannot be told, none."""
    if not _HAS_FLAGS:
        return list(names)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        return [name for name in names if _is_running(asking, name)]


def _is_running(asking: socket.socket, name: str) -> bool:
    request = _INTERFACE_REQUEST.pack(name.encode(), 0)
    try:
        _, flags = _INTERFACE_REQUEST.unpack(fcntl.ioctl(asking, _SIOCGIFFLAGS, request))
    except OSError:
        # A name with a colon, an interface that has just gone, another system's ioctl: its addresses decide.
        return True
    return bool(flags & _IFF_RUNNING)


def _sources() -> Iterator[str]:
    """The address that packets to the outside leave from, for each family that has one."""
    for outside in _OUTSIDE:
        if (source := source_towards(outside)) is not None:
            yield source


def source_towards(host: str) -> str | None:
    """Find out which address of ours leads somewhere; nothing is sent.

    Args:
        host: An IP address.

    Returns:
        Ours, without a scope; None where no way leads there.
    """
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as route:
            route.connect((host, _ANY_PORT))
            return TransportAddress.from_socket(route.getsockname()).host
    except OSError:
        return None
