"""Transport addresses: an IP address and a port, in one canonical spelling."""

from __future__ import annotations

import ipaddress
from typing import Any, NamedTuple

from p2p.errors import ConfigError


class TransportAddress(NamedTuple):
    """An IP address and a port.

    A tuple, so that it goes to and compares equal with what ``socket`` uses for IPv4, and costs nothing on
    the datagram path.

    Attributes:
        host: An IP address in canonical text: dotted IPv4, or compressed lower-case IPv6 without brackets.
        port: 0 to 65,535.
    """

    host: str
    port: int

    @classmethod
    def from_socket(cls, sockaddr: tuple[Any, ...]) -> TransportAddress:
        """Make an address from what ``socket`` returned; IPv4-mapped IPv6 becomes IPv4, a scope is dropped.

        Args:
            sockaddr: ``(host, port)`` or ``(host, port, flow info, scope id)``.
        """
        host: str = sockaddr[0]
        if ":" in host:
            host = host.partition("%")[0]
            if host.startswith("::ffff:") and "." in host:
                host = host[7:]
        return cls(host, sockaddr[1])

    @classmethod
    def parse(cls, text: str, *, default_port: int | None = None) -> TransportAddress:
        """Read ``192.0.2.1:80``, ``[2001:db8::1]:80`` or, with a default port, an address alone.

        Args:
            text: The address as a person writes it. Names are not resolved.
            default_port: The port when the text has none; None makes a port obligatory.

        Raises:
            ConfigError: The text is not an IP address with a port from 0 to 65,535.
        """
        host, separator, port_text = text.strip().rpartition(":")
        if not separator or (":" in host and not host.startswith("[")):
            host, port_text = text.strip(), ""
        host = host.removeprefix("[").removesuffix("]")
        try:
            address = ipaddress.ip_address(host)
            if port_text:
                port = int(port_text)
            elif default_port is not None:
                port = default_port
            else:
                raise ValueError("no port")
            if not 0 <= port <= 65535:
                raise ValueError("port out of range")
        except ValueError as error:
            raise ConfigError(f"not an IP address and port: {text!r} ({error})") from error
        return cls(str(address), port)

    @property
    def is_ipv6(self) -> bool:
        """Whether the host is an IPv6 address."""
        return ":" in self.host

    @property
    def ip(self) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
        """The host as a value of the ``ipaddress`` module."""
        return ipaddress.ip_address(self.host)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if self.is_ipv6 else f"{self.host}:{self.port}"
