"""The gateway as one object: its peer, what is published, and its listeners."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Final, Self

from prometheus_client import CollectorRegistry

from gateway.acme.hosts import make_keeper
from gateway.acme.issuer import Issuer
from gateway.acme.keeper import certificate_rows
from gateway.audit import AuditLog
from gateway.config import GatewayConfig
from gateway.control import GATEWAY, GatewayControl
from gateway.core import problems
from gateway.core.http01 import Challenges
from gateway.core.login import Logins
from gateway.core.registry import Registry, Service
from gateway.core.seals import SECRET_BYTES, Seals
from gateway.core.shared import shared_secrets
from gateway.core.sticky import StickyCookies
from gateway.error_pages import ErrorPages
from gateway.ingress.connection import Tls
from gateway.ingress.drains import Drains
from gateway.ingress.front import Arrival, Front, Handle
from gateway.ingress.health import HealthChecks
from gateway.ingress.http import HttpIngress
from gateway.ingress.liveness import Liveness
from gateway.ingress.own_site import OwnSite
from gateway.ingress.port_audit import PortAudit
from gateway.ingress.ports import PublishedPorts
from gateway.ingress.raw import RawForwarder
from gateway.ingress.tcpmux import Tcpmux
from gateway.ingress.tls import Certificates
from gateway.ingress.upstream import Upstreams
from gateway.metrics import Metrics
from gateway.publishers import Publisher, PublisherDesk
from gateway.renewal import renew
from gateway.tls_arrivals import TlsArrivals
from gateway.urls import PublicUrls
from p2p.address import TransportAddress
from p2p.aio.control_socket import ControlSocket
from p2p.aio.tasks import TaskScope
from p2p.errors import P2PError
from p2p.forward.target import FlowAcceptor
from p2p.identity import Identity
from p2p.session.events import Event, GatewayReady, Ready
from p2p.session.exposer import Exposer
from p2p.session.options import ExposeOptions, PeerOptions
from p2p.session.peer_session import PeerSession

DRAIN_LOOK_S: Final = 0.1
SERVICE_NAME: Final = "gateway"
"""The service that publishers ask the rendezvous for."""
_COOKIE_SECRET_BYTES: Final = 32


class Gateway(Exposer):
    """A peer whose service is to put other peers' services before the public.

    Publishers reach it with its ticket, as any exposed service is reached: over the relay or directly, authenticated
    by key, admitted by the ticket's secret. Visitors' connections travel the same sessions the other way.

    Args:
        config: What to serve, and where.
        peer: Who we are and where we meet.
        on_event: Told what happens.
        allow: Peer ids that may publish; empty admits every holder of the ticket.
        registry: Where its metrics are registered.
        audit: Takes a record of each visit, and stays open for longer than this object; None keeps none.
        issuer: Who issues certificates instead of the ACME server of the configuration.

    Raises:
        ConfigError: An address cannot be bound, a certificate is wrong, or there is no rendezvous.
    """

    def __init__(
        self,
        config: GatewayConfig,
        peer: PeerOptions,
        *,
        on_event: Callable[[Event], None],
        allow: tuple[str, ...] = (),
        registry: CollectorRegistry | None = None,
        audit: AuditLog | None = None,
        issuer: Issuer | None = None,
    ) -> None:
        super().__init__(ExposeOptions(targets={}, name=SERVICE_NAME, allow=allow), peer, on_event=on_event)
        self.config = config
        self.services = Registry[Publisher](
            domain=config.domain,
            reserved=config.reserved,
            ports=config.ports,
            custom_hosts=config.custom_hosts,
            random_bytes=os.urandom,
        )
        registry = registry or CollectorRegistry()
        self.metrics = Metrics(registry, lambda: sum(1 for _ in self.services))
        if audit is not None:
            self.metrics.watch_audit(registry, lambda: audit.dropped)
        self._urls = PublicUrls(config)
        self._certificates = Certificates(config.certificates, config.domain)
        self._keeper = (
            None
            if config.acme is None
            else make_keeper(
                config.acme,
                self.services,
                self._certificates,
                self.metrics,
                domain=config.domain,
                tell_problem=self.tell_problem,
                issuer=issuer,
            )
        )
        self._error_pages = None if config.error_pages is None else ErrorPages(config.error_pages)
        self._audit = audit
        self._port_audit = PortAudit(None if audit is None else audit.write)
        self._raw = RawForwarder(config.balance, self.metrics, self._port_audit)
        self._upstreams = Upstreams()
        self._health = HealthChecks(self._upstreams, self.metrics)
        self._work = TaskScope()
        self._ports = PublishedPorts(config.port_hosts, self._front, self._raw)
        self._drains = Drains(self._work, self._upstreams, self._ports)
        self._liveness = Liveness(self.services, self._work)
        self._stack = AsyncExitStack()
        self._http: HttpIngress | None = None
        self._tls = TlsArrivals(
            self.services,
            self._certificates,
            self._keeper,
            self._raw,
            serve=self._serve_http,
            tell_problem=self.tell_problem,
        )
        self._control = GatewayControl(
            self.services,
            self.metrics,
            urls_of=self._urls.of,
            changed=self._drains.look,
            about=self._about,
            now=lambda: asyncio.get_running_loop().time(),
        )
        self._desk = PublisherDesk(
            self.services,
            self._work,
            published=self._published,
            withdrawn=self._withdrawn,
            drains=self._drains.begin,
            urls_of=self._urls.of,
        )

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._upstreams)
            fronts = [(self._front(address, self._serve_http), False) for address in self.config.http]
            fronts += [(self._front(address, self._tls.take), True) for address in self.config.https]
            self._urls.https = tuple(front.address for front, is_tls in fronts if is_tls)
            self._urls.http = tuple(front.address for front, is_tls in fronts if not is_tls)
            self._http = await stack.enter_async_context(self._make_http())
            await stack.enter_async_context(self._work)
            files = [each for each in (self._certificates, self._error_pages) if each is not None]
            if self._keeper is not None:
                self._work.start(self._keeper.run(), name="certificates")
            self._work.start(renew(files, self.tell_problem), name="renewal of files")
            self._work.start(self._liveness.run(), name="liveness")
            stack.push_async_callback(self._ports.close)
            for front, _ in fronts:
                await stack.enter_async_context(front)
            if self.config.control is not None:
                await stack.enter_async_context(ControlSocket(self.config.control, self._control.commands, GATEWAY))
            await super().__aenter__()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            # Listeners first: what is under way still has its sessions.
            await self._stack.__aexit__(kind, error, traceback)
        finally:
            await super().__aexit__(kind, error, traceback)

    def tell(self, event: Event) -> None:
        """See ``Program``; who runs a gateway is told of its listeners instead of a service."""
        if isinstance(event, Ready):
            listeners = [f"http {address}" for address in self.http_addresses]
            listeners += [f"https {address}" for address in self.https_addresses]
            listeners += [f"{kind} ports {first} to {last}" for kind, (first, last) in self.config.ports.items()]
            event = GatewayReady(
                t_s=event.t_s, ticket=event.ticket, domain=self.config.domain, listeners=tuple(listeners)
            )
        super().tell(event)

    def make_acceptor(self, session: PeerSession) -> FlowAcceptor:
        """See ``Exposer``."""
        return self._desk.acceptor(session)

    def closed(self, session: PeerSession, error: P2PError) -> None:
        """See ``SessionOwner``."""
        super().closed(session, error)
        self._port_audit.closed(session)

    @property
    def http_addresses(self) -> tuple[TransportAddress, ...]:
        """Where it listens for HTTP."""
        return self._urls.http

    @property
    def https_addresses(self) -> tuple[TransportAddress, ...]:
        """Where it listens for HTTPS."""
        return self._urls.https

    async def drain(self) -> None:
        """Tell fronts that visitors should go elsewhere, and return when those that are here have gone.

        Who comes nevertheless is served: a front needs a moment to notice.
        """
        self.draining = True
        while self._visits():  # noqa: ASYNC110 -- they end in several places, and a moment late is soon enough
            await asyncio.sleep(DRAIN_LOOK_S)

    def _visits(self) -> int:
        """How many requests are under way and connections are open."""
        requests = sum(publisher.open for service in self.services for publisher in service.instances)
        flows = (flow for session in self.sessions.values() for flow in session.multiplexer.flow_snapshots())
        # Without an origin are idle connections to services, and the flows on which publishers ask.
        return requests + sum(flow.origin is not None for flow in flows)

    # --- inside ------------------------------------------------------------------------------------------------

    def _make_http(self) -> HttpIngress:
        derive = shared_secrets(self.config.shared_secret)
        if derive is None:
            # From the key file, so that cookies outlive a restart.
            derive = Identity.load_or_create(self.peer_options.identity_path).derive_secret
        cookies = StickyCookies(derive("sticky cookies", _COOKIE_SECRET_BYTES))
        return HttpIngress(
            self.services,
            self._upstreams,
            self.metrics,
            own_site=OwnSite(lambda: self.draining),
            domain=self.config.domain,
            fronts=self.config.fronts,
            balance=self.config.balance,
            cookies=cookies,
            logins=Logins(Seals(derive("logins", SECRET_BYTES), os.urandom), os.urandom),
            tcpmux=Tcpmux(self.services, self._raw, self.metrics),
            https_port=self._urls.https_port if self.config.redirect else None,
            challenges=Challenges() if self._keeper is None else self._keeper.challenges,
            audit=None if self._audit is None else self._audit.write,
            page=problems.as_page if self._error_pages is None else self._error_pages.page,
        )

    def _about(self) -> dict[str, Any]:
        """What the operator's status says beside services and counts."""
        return {
            "state": "draining" if self.draining else "serving",
            "up_s": round(self.t_s, 1),
            "domain": self.config.domain,
            "balance": self.config.balance,
            "http": [str(address) for address in self.http_addresses],
            "https": [str(address) for address in self.https_addresses],
            "port_hosts": list(self.config.port_hosts),
            "proxy_header": self.config.has_proxy_header,
            "certificates": certificate_rows(self._certificates) if self._keeper is None else self._keeper.status(),
        }

    async def _published(self, service: Service[Publisher], publisher: Publisher) -> None:
        if service.port:
            await self._ports.open(service)
        if self._keeper is not None:
            self._keeper.look()
        self._liveness.joined(service, publisher)
        self._control.joined(service, publisher)
        self._port_audit.joined(service, publisher)
        if publisher.health is not None and self._work.is_open:
            watching = self._health.watch(service, publisher, publisher.health)
            self._work.start(watching, name=f"health of {service.title}")

    def _withdrawn(self, service: Service[Publisher], publisher: Publisher) -> None:
        self._upstreams.forget(publisher)
        if service.port and self._work.is_open:
            self._work.start(self._ports.update(service), name=f"withdrawal of {service.title}")

    def _front(self, address: TransportAddress, handle: Handle) -> Front:
        return Front(address, handle, fronts=self.config.fronts, has_proxy_header=self.config.has_proxy_header)

    async def _serve_http(self, arrival: Arrival, tls: Tls | None = None) -> None:
        assert self._http is not None
        await self._http.serve(arrival, tls)
