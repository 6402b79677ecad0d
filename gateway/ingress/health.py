"""Asks instances whether they are well, as their publishers wish."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

import aiohttp

from gateway.core.h2_head import RequestHead
from gateway.core.registry import Service
from gateway.ingress.upstream import Upstreams
from gateway.metrics import Metrics
from gateway.publishers import Publisher
from p2p.proto.publication import Health

logger = logging.getLogger(__name__)

CHECK_WITHIN_S: Final = 5.0
"""How long an instance may take to say that it is well."""


class HealthChecks:
    """Asks each instance for a path of its own, on the connections that visitors use.

    Args:
        upstreams: Connections to the instances.
        metrics: What to count.
    """

    def __init__(self, upstreams: Upstreams, metrics: Metrics) -> None:
        self._upstreams = upstreams
        self._metrics = metrics

    async def watch(self, service: Service[Publisher], publisher: Publisher, health: Health) -> None:
        """Ask one instance again and again, until it drains or is no longer there."""
        head = RequestHead("GET", health.path, [("Host", service.hosts[0]), ("User-Agent", "p2p-gateway")])
        while publisher in service.instances and not publisher.is_draining:
            is_good = await self._ask(publisher, head)
            self._metrics.health_checks.labels("good" if is_good else "bad").inc()
            if publisher.checked(asyncio.get_running_loop().time(), is_good=is_good):
                logger.info("%s of %s is %s", publisher.key, service.title, "well" if is_good else "not well")
            await asyncio.sleep(health.interval_s)

    async def _ask(self, publisher: Publisher, head: RequestHead) -> bool:
        try:
            async with asyncio.timeout(CHECK_WITHIN_S):
                answer = await self._upstreams.ask(publisher, head, None)
        except (aiohttp.ClientError, ConnectionError, TimeoutError, RuntimeError) as error:
            logger.debug("%s is not well: %r", publisher.key, error)
            return False
        answer.close()
        return answer.status < 400
