"""How the public reaches what is published."""

from __future__ import annotations

from gateway.config import GatewayConfig
from gateway.core.registry import Service
from gateway.publishers import Publisher
from p2p.address import TransportAddress


class PublicUrls:
    """Writes the URLs of services.

    Args:
        config: What the gateway serves, and where.

    Attributes:
        http: Where it listens for HTTP; known once it does.
        https: The same for HTTPS.
    """

    def __init__(self, config: GatewayConfig) -> None:
        self._config = config
        self.http: tuple[TransportAddress, ...] = ()
        self.https: tuple[TransportAddress, ...] = ()

    @property
    def https_port(self) -> int | None:
        """Where visitors find HTTPS, here or at a proxy in front; None: nowhere."""
        if self._config.public_https_port is not None:
            return self._config.public_https_port
        return self.https[0].port if self.https else None

    def of(self, service: Service[Publisher]) -> tuple[str, ...]:
        """The URLs of a service: one for each of its hosts, or that of its port."""
        if service.port:
            return (f"{service.kind}://{self._config.domain or self._config.port_hosts[0]}:{service.port}",)
        return tuple(f"{self._scheme(service)}://{host}{self._port(service)}{service.path}" for host in service.hosts)

    def _scheme(self, service: Service[Publisher]) -> str:
        if service.kind in ("tls", "tcpmux"):
            return service.kind
        return "http" if self.https_port is None else "https"

    def _port(self, service: Service[Publisher]) -> str:
        if self._scheme(service) in ("http", "tcpmux"):
            port, usual = self.http[0].port if self.http else 80, 80
        else:
            port, usual = self.https_port or 443, 443
        return "" if port == usual and service.kind == "http" else f":{port}"
