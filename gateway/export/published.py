"""What the export takes from a gateway's status."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from p2p.address import TransportAddress


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What a proxy in front has to know."""

    domain: str
    """The gateway's own name."""
    http: tuple[TransportAddress, ...]
    """Where the gateway takes HTTP, as a proxy on its machine reaches it."""
    https: tuple[TransportAddress, ...]
    has_proxy_header: bool
    """Whether a PROXY header comes first on each of its ports."""
    is_draining: bool
    http_hosts: tuple[str, ...]
    """Host names of HTTP services."""
    tls_hosts: tuple[str, ...]
    """Host names whose TLS is passed through."""
    ports: tuple[tuple[str, TransportAddress], ...]
    """Published ports: ``tcp`` or ``udp``, and where the gateway has it."""

    @classmethod
    def of_status(cls, status: Mapping[str, Any]) -> Published:
        """Read what the control socket's ``status`` says."""
        services = status["services"]

        def hosts(kind: str) -> tuple[str, ...]:
            # A host may have several services, by their paths.
            return tuple(sorted({host for service in services if service["kind"] == kind for host in service["hosts"]}))

        port_host = _near(TransportAddress(status["port_hosts"][0], 0)).host if status["port_hosts"] else ""
        ports = sorted((service["kind"], service["port"]) for service in services if service["port"])
        return cls(
            domain=status["domain"],
            http=tuple(_near(TransportAddress.parse(text)) for text in status["http"]),
            https=tuple(_near(TransportAddress.parse(text)) for text in status["https"]),
            has_proxy_header=status["proxy_header"],
            is_draining=status["state"] == "draining",
            http_hosts=(*((status["domain"],) if status["domain"] else ()), *hosts("http")),
            tls_hosts=hosts("tls"),
            ports=tuple((kind, TransportAddress(port_host, port)) for kind, port in ports),
        )


def _near(address: TransportAddress) -> TransportAddress:
    """Where this machine reaches a listener that may be on all addresses."""
    if address.ip.is_unspecified:
        return TransportAddress("::1" if address.is_ipv6 else "127.0.0.1", address.port)
    return address
