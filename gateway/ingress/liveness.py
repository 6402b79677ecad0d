"""Notices instances that have fallen silent, and takes the requests that wait for them elsewhere."""

from __future__ import annotations

import asyncio
from typing import Final

from gateway.core.registry import Registry, Service
from gateway.publishers import Publisher
from p2p.aio.tasks import TaskScope
from p2p.errors import P2PError

LOOK_EVERY_S: Final = 0.1
SILENCE_S: Final = 0.5
"""How long an instance that was sent something may give no sign of life before visitors go elsewhere, or four of its
round trips: acknowledgements of a program that lives come within 25 ms and a round trip, even from a busy host."""
GIVE_UP_S: Final = 10.0
"""After this time without a sign of life visitors hear that it is offline, and a program that was started anew has
taken its place: more than a restart takes, and about as much as people wait."""
_ROUND_TRIPS: Final = 4


class Liveness:
    """Watches for signs of life of all instances.

    A session outlives minutes of silence and tries every path, so that a terminal does not close with a lid; visitors
    cannot wait that long. An instance that does not even acknowledge what it was sent gets no visitors while another
    one is well, and requests that can be repeated are taken away from it; after a while nobody waits for it any more.
    Its connections stay, in case it comes back.

    Args:
        registry: What is published.
        scope: Where questions run.
    """

    def __init__(self, registry: Registry[Publisher], scope: TaskScope) -> None:
        self._registry = registry
        self._scope = scope

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            for service in self._registry:
                _look(service, asyncio.get_running_loop().time())

    def joined(self, service: Service[Publisher], publisher: Publisher) -> None:
        """Ask older instances of the same key whether they are there: one may have been killed, and be this one."""
        for other in service.instances:
            if other is not publisher and other.key == publisher.key and self._scope.is_open:
                self._scope.start(_ask(other), name=f"question to {other.key}")


def _look(service: Service[Publisher], now: float) -> None:
    for publisher in service.instances:
        patience_s = max(SILENCE_S, _ROUND_TRIPS * (publisher.rtt_s or 0.0))
        publisher.is_heard = publisher.silent_s(now) < patience_s
        publisher.is_lost = publisher.silent_s(now) >= GIVE_UP_S
    is_somebody_well = any(publisher.is_well(now) for publisher in service.instances)
    for publisher in service.instances:
        if publisher.is_lost or (is_somebody_well and not publisher.is_heard):
            publisher.patience.end(for_all=publisher.is_lost)


async def _ask(publisher: Publisher) -> None:
    publisher.asked(asyncio.get_running_loop().time())
    try:
        async with asyncio.timeout(GIVE_UP_S):
            await publisher.session.multiplexer.ping()
    except TimeoutError:
        publisher.session.close(reason="another program of the same key serves this now")
    except P2PError:
        return  # its session has ended, and with it what it published
