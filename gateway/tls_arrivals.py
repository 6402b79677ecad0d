"""What becomes of a visitor with TLS: passed through unread, or ended here with the certificate of its host."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from gateway.acme.keeper import CertificateKeeper
from gateway.core.registry import Registry, Service
from gateway.ingress.connection import Tls
from gateway.ingress.front import HELLO_WITHIN_S, Arrival
from gateway.ingress.raw import RawForwarder
from gateway.ingress.tls import Certificates, refuse, server_name
from gateway.publishers import Publisher
from p2p.errors import ConfigError, DecodeError
from p2p.forward.sockets import close

logger = logging.getLogger(__name__)


class TlsArrivals:
    """Takes the arrivals of the HTTPS listeners.

    Args:
        registry: What is published.
        certificates: For TLS that ends here.
        keeper: Asks for more of them; None leaves it at those.
        raw: Passes TLS through.
        serve: Serves HTTP on a connection.
        tell_problem: Told of certificates that cannot be used.
    """

    def __init__(
        self,
        registry: Registry[Publisher],
        certificates: Certificates,
        keeper: CertificateKeeper | None,
        raw: RawForwarder,
        *,
        serve: Callable[[Arrival, Tls], Awaitable[None]],
        tell_problem: Callable[[ConfigError], None],
    ) -> None:
        self._registry = registry
        self._certificates = certificates
        self._keeper = keeper
        self._raw = raw
        self._serve = serve
        self._tell_problem = tell_problem

    async def take(self, arrival: Arrival) -> None:
        """Serve a visitor; the socket is ours."""
        try:
            async with asyncio.timeout(HELLO_WITHIN_S):
                name = await server_name(arrival.sock)
        except (OSError, DecodeError, TimeoutError):
            close(arrival.sock, reset=True)
            return
        service = None if name is None else self._registry.of_host(name)
        if service is not None and service.kind == "tls":
            self._raw.forward(service, arrival)
            return
        try:
            tls = await self._tls(name, service)
        except ConfigError as error:
            self._tell_problem(error)
            close(arrival.sock, reset=True)
            return
        except BaseException:
            close(arrival.sock, reset=True)
            raise
        if tls is None:
            logger.info("a visitor from %s wants TLS for %r, and there is no certificate", arrival.visitor, name)
            refuse(arrival.sock)
            return
        await self._serve(arrival, tls)

    async def _tls(self, name: str | None, service: Service[Publisher] | None) -> Tls | None:
        if name is not None and self._keeper is not None:
            await self._keeper.wait_for(name)
        authorities = "" if service is None else service.policy.access.client_ca
        if name is None or not authorities:
            context = self._certificates.of(name)
        else:
            context = self._certificates.for_clients(name, authorities)
        return None if context is None else Tls(context, authorities if name is not None else "")
