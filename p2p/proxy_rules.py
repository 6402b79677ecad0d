"""Where a proxy may connect to: rules as people write them, and the decision about one address.

A rule is a destination and ports: ``10.0.0.0/8:80,443``, ``nas.lan``, ``*.intranet.example:8000-8999``, ``*:443``.
Without ports it means all of them.

Some addresses are never meant by a rule that does not name them: this machine itself, its link, and the places where
clouds tell secrets to whoever asks from the inside. ``*`` and ``0.0.0.0/0`` leave them out; ``127.0.0.1`` names one.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

from p2p.errors import ConfigError, ErrorCode

CODE_BAD_RULE: Final = ErrorCode(
    "P2P-1109",
    "Write a destination, and ports if not all: 10.0.0.0/8:80,443, nas.lan, *.intranet.example, *:8000-8999.",
)

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
IpAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_GUARDED: Final[tuple[Network, ...]] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",  # this machine, to many systems
        "127.0.0.0/8",
        "169.254.0.0/16",  # the link, and 169.254.169.254: metadata of most clouds
        "168.63.129.16/32",  # metadata of Azure
        "100.100.100.200/32",  # metadata of Alibaba Cloud
        "224.0.0.0/4",
        "240.0.0.0/4",
        "::/128",
        "::1/128",
        "fe80::/10",
        "fd00:ec2::254/128",  # metadata of AWS
        "ff00::/8",
    )
)
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_RULE: Final = re.compile(r"(\[[^\]]*\](?:/\d+)?|[^:\[\]]+|[0-9A-Fa-f:.]*::[0-9A-Fa-f:.]*(?:/\d+)?)(?::([\d,*-]+))?")
_NAME: Final = re.compile(r"(?:\*\.)?[a-z0-9_](?:[a-z0-9._-]{0,252}[a-z0-9_])?")
_PORT_MAX: Final = 65535


@dataclass(frozen=True, slots=True)
class ProxyRule:
    """One thing that is allowed.

    Attributes:
        text: As it was written.
        network: The addresses; None for a rule about names.
        name: A host's name, ``*.`` and a domain for all below it, ``*`` for all; empty for a rule about addresses.
        ports: Ranges of ports, both ends included.
    """

    text: str
    network: Network | None
    name: str
    ports: tuple[tuple[int, int], ...]

    def allows(self, name: str, address: IpAddress, port: int) -> bool:
        """Decide.

        Args:
            name: The name that was asked for; empty if it was an address.
            address: What is to be connected to: what the name has resolved to, if it was one.
            port: The port.
        """
        if not any(first <= port <= last for first, last in self.ports):
            return False
        address = plain_address(address)
        guards = [guard for guard in _GUARDED if guard.version == address.version and address in guard]
        if self.network is not None:
            is_inside = self.network.version == address.version and address in self.network
            return is_inside and all(_is_within(self.network, guard) for guard in guards)
        if guards:
            return self.name == name == "localhost" and address.is_loopback
        if self.name.startswith("*."):
            return name.endswith(self.name[1:])
        return self.name in {"*", name}


def is_allowed(rules: Iterable[ProxyRule], name: str, address: IpAddress, port: int) -> bool:
    """Tell whether any of the rules allows a connection; see ``ProxyRule.allows``."""
    return any(rule.allows(name, address, port) for rule in rules)


def plain_address(address: IpAddress) -> IpAddress:
    """The IPv4 address that an IPv6 address stands for, if it does: the same rules count for both."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def parse_rule(text: str) -> ProxyRule:
    """Read a rule.

    Args:
        text: As typed.

    Raises:
        ConfigError: It is none.
    """
    cleaned = text.strip().lower()
    match = _RULE.fullmatch(cleaned)
    if match is None:
        raise ConfigError(f"{text!r} is no destination for a proxy", code=CODE_BAD_RULE)
    destination, ports = match[1].replace("[", "").replace("]", ""), _ports(match[2] or "*", text)
    try:
        return ProxyRule(text, ipaddress.ip_network(destination), "", ports)
    except ValueError as error:
        looks_like_address = "/" in destination or ":" in destination or re.fullmatch(r"[\d.]+", destination)
        if looks_like_address or not (destination == "*" or _NAME.fullmatch(destination)):
            raise ConfigError(f"{text!r} is no destination for a proxy: {error}", code=CODE_BAD_RULE) from error
    return ProxyRule(text, None, destination, ports)


def _ports(text: str, whole: str) -> tuple[tuple[int, int], ...]:
    if text == "*":
        return ((1, _PORT_MAX),)
    ranges = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not 0 < first <= last <= _PORT_MAX:
            raise ConfigError(f"{part!r} in {whole!r} is no port and no range of ports", code=CODE_BAD_RULE)
        ranges.append((first, last))
    return tuple(ranges)


def _is_within(network: Network, guard: Network) -> bool:
    if isinstance(network, ipaddress.IPv4Network):
        return isinstance(guard, ipaddress.IPv4Network) and network.subnet_of(guard)
    return isinstance(guard, ipaddress.IPv6Network) and network.subnet_of(guard)
