"""What the gateway counts."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class Metrics:
    """The counters of one gateway.

    Labels hold kinds and reasons only, never visitors or names: their number is bounded and they give nobody away.

    Args:
        registry: Where they are registered.
        services: Tells how many services are published.
    """

    def __init__(self, registry: CollectorRegistry, services: Callable[[], int]) -> None:
        self.services = Gauge("p2p_gateway_services", "Published services.", registry=registry)
        self.services.set_function(services)
        self.requests = Counter(
            "p2p_gateway_requests", "HTTP requests by class of the response.", ["status"], registry=registry
        )
        self.request_s = Histogram(
            "p2p_gateway_request_seconds", "Time from the request's head to the response's end.", registry=registry
        )
        self.connections = Counter(
            "p2p_gateway_connections", "Connections handed over unread, by kind.", ["kind"], registry=registry
        )
        self.refused = Counter(
            "p2p_gateway_refused", "Requests and connections that got no instance.", ["reason"], registry=registry
        )
        self.ejections = Counter("p2p_gateway_ejections", "Instances that were set aside.", registry=registry)
        self.retries = Counter("p2p_gateway_retries", "Requests that went to another instance.", registry=registry)
        self.health_checks = Counter(
            "p2p_gateway_health_checks", "What instances said about themselves.", ["result"], registry=registry
        )
        self.certificate_orders = Counter(
            "p2p_gateway_certificate_orders", "What became of orders of certificates.", ["result"], registry=registry
        )

    def answered(self, status: int) -> None:
        """Count a response."""
        self.requests.labels(f"{status // 100}xx").inc()

    def watch_audit(self, registry: CollectorRegistry, dropped: Callable[[], int]) -> None:
        """Show how many records the audit log has lost."""
        Gauge(
            "p2p_gateway_audit_dropped", "Records of the audit log that a slow or full disk cost.", registry=registry
        ).set_function(dropped)
