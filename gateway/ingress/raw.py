"""Connections that the gateway does not look into: TCP ports, and TLS that the exposed service ends itself."""

from __future__ import annotations

import asyncio
import logging
import time

from gateway.core.access import Verdict
from gateway.core.balance import Policy, choose
from gateway.core.registry import Service
from gateway.ingress.front import Arrival
from gateway.ingress.port_audit import PortAudit
from gateway.metrics import Metrics
from gateway.publishers import Publisher
from p2p.errors import ForwardError
from p2p.forward.sockets import Addresses, close
from p2p.proto.publication import Visited

logger = logging.getLogger(__name__)


class RawForwarder:
    """Hands connections over to the sessions of publishers, which splice them without a task for each.

    Args:
        balance: How to choose among instances.
        metrics: What to count.
        audit: Takes note of what is refused.
    """

    def __init__(self, balance: Policy, metrics: Metrics, audit: PortAudit) -> None:
        self._balance = balance
        self._metrics = metrics
        self._audit = audit

    def forward(self, service: Service[Publisher], arrival: Arrival) -> None:
        """Hand a connection over, or reset it when it may not come or nobody takes it."""
        now = asyncio.get_running_loop().time()
        host = arrival.visitor.host
        if service.policy.enter(host, {}, now, time.time()) is not Verdict.WELCOME:
            self.refused(service, arrival, "access")
            close(arrival.sock, reset=True)
            return
        # The flow itself is not watched: what is limited here is how often a visitor comes.
        service.policy.leave(host)
        if not self.hand_over(service, arrival):
            self.refused(service, arrival, "offline")
            close(arrival.sock, reset=True)

    def hand_over(self, service: Service[Publisher], arrival: Arrival, greeting: bytes = b"") -> bool:
        """Hand a connection over that may come.

        Args:
            service: Where to.
            arrival: The connection; it belongs to the caller again if nobody takes it.
            greeting: What the visitor is told first, if there is an instance.

        Returns:
            Whether somebody takes it.
        """
        now, host = asyncio.get_running_loop().time(), arrival.visitor.host
        tried: list[Publisher] = []
        while publisher := choose(service.instances, self._balance, visitor=host, now=now, without=tried):
            try:
                if greeting:
                    arrival.sock.send(greeting)
                    greeting = b""
                publisher.forward(arrival.sock, Addresses(arrival.visitor, arrival.local))
            except (ForwardError, OSError) as error:
                logger.info("%s: %s", service.title, error)
                publisher.failed(now)
                tried.append(publisher)
                continue
            publisher.served += 1
            self._metrics.connections.labels(service.kind).inc()
            publisher.tell_visit(Visited(visitor=str(arrival.visitor), took_s=0.0, summary=f"to {service.title}"))
            return True
        return False

    def refused(self, service: Service[Publisher], arrival: Arrival, reason: str) -> None:
        """Take note of a connection that is not handed over."""
        self._audit.refused(service, arrival.visitor, reason)
        self._metrics.refused.labels(reason).inc()
