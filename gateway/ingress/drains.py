"""Instances that finish what they have and get nothing new."""

from __future__ import annotations

import asyncio
from typing import Final

from gateway.core.registry import Service
from gateway.ingress.ports import PublishedPorts
from gateway.ingress.upstream import Upstreams
from gateway.publishers import Publisher
from p2p.aio.tasks import TaskScope

_LOOK_S: Final = 0.02


class Drains:
    """Drains instances.

    Args:
        scope: Where it is waited for them.
        upstreams: Connections that are closed when the last request is answered.
        ports: Ports whose datagrams go to another instance at once.
    """

    def __init__(self, scope: TaskScope, upstreams: Upstreams, ports: PublishedPorts) -> None:
        self._scope = scope
        self._upstreams = upstreams
        self._ports = ports

    def begin(self, service: Service[Publisher], publisher: Publisher) -> None:
        """Drain an instance because its program ends; that is told when the last request is answered."""
        if self._scope.is_open:
            publisher.is_draining = True
            self._scope.start(self._finish(service, publisher), name=f"drain of {service.title}")

    def look(self, service: Service[Publisher]) -> None:
        """Let a port's datagrams go where they should, after an instance was set aside or taken back."""
        if self._scope.is_open and service.port:
            self._scope.start(self._ports.update(service), name=f"instances of {service.title}")

    async def _finish(self, service: Service[Publisher], publisher: Publisher) -> None:
        if service.port:
            await self._ports.update(service)
        while publisher.open:  # noqa: ASYNC110 -- requests end in several places, and a moment late is soon enough
            await asyncio.sleep(_LOOK_S)
        # Idle connections are flows, too, and would keep its session from ending.
        self._upstreams.forget(publisher)
        publisher.tell_drained()
