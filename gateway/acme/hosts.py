"""Which hosts of a gateway need a certificate, and the keeper for them."""

from __future__ import annotations

import time
from collections.abc import Callable

from gateway.acme.issuer import AcmeIssuer, Issuer
from gateway.acme.keeper import CertificateKeeper
from gateway.acme.store import Store
from gateway.config import AcmeOptions
from gateway.core import names
from gateway.core.order_plan import OPERATOR, OrderPlan
from gateway.core.registry import Registry
from gateway.ingress.tls import Certificates
from gateway.metrics import Metrics
from gateway.publishers import Publisher
from p2p.errors import ConfigError


def make_keeper(
    options: AcmeOptions,
    registry: Registry[Publisher],
    certificates: Certificates,
    metrics: Metrics,
    *,
    domain: str,
    tell_problem: Callable[[ConfigError], None],
    issuer: Issuer | None = None,
    now: Callable[[], float] = time.time,
) -> CertificateKeeper:
    """Make what keeps certificates.

    Args:
        options: Who issues them, and where they are kept.
        registry: What is published.
        certificates: Where they are used.
        metrics: Counts the orders.
        domain: The gateway's own name.
        tell_problem: Told why there is none.
        issuer: Who issues them instead of the server that the options name.
        now: The time, in seconds since 1970.

    Raises:
        ConfigError: The folder cannot be used, or the library is not installed.
    """

    def wanted() -> dict[str, str]:
        hosts = {domain: OPERATOR} if names.is_host(domain) else {}
        for service in registry:
            if service.kind == "http" and service.instances:
                owner = str(service.instances[0].session.peer)
                hosts |= {host: owner for host in service.hosts if host not in hosts}
        return {host: owner for host, owner in hosts.items() if not certificates.covers(host)}

    store = Store(options.folder, options.server)
    return CertificateKeeper(
        OrderPlan(store.memory(), per_week=options.per_week),
        store,
        issuer or AcmeIssuer(options, store.account_key),
        certificates,
        wanted=wanted,
        orders=metrics.certificate_orders,
        tell_problem=tell_problem,
        now=now,
    )
