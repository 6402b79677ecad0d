"""Keeping relay credentials fresh."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Final

from p2p.defaults import RELAYS_ASKED_AGAIN_S, SIGNALLING_RENEW_MARGIN
from p2p.errors import SignallingError
from p2p.proto.signalling.messages import Renew, Welcome
from p2p.signalling.link import Link

logger = logging.getLogger(__name__)

_SHORTEST_WAIT_S: Final = 1.0
"""A server that hands out credentials without any life left must not make us ask in a loop."""


class Renewal:
    """Asks for relays and credentials again: before those at hand end, when the server says so, and on demand.

    Concurrency: ``run`` is one task for each connection.

    Args:
        ids: Numbers for the requests.
        on_welcome: Called with each answer.
    """

    def __init__(self, ids: Iterator[int], on_welcome: Callable[[Welcome], object]) -> None:
        self._ids = ids
        self._on_welcome = on_welcome
        self._hurry = asyncio.Event()

    def ask_soon(self) -> None:
        """Ask within ``RELAYS_ASKED_AGAIN_S``: no relay at hand serves us."""
        self._hurry.set()

    async def run(self, link: Link) -> None:
        """Ask until the connection fails; the next login brings fresh ones.

        Args:
            link: Where to ask; its welcome has the first ones.
        """
        welcome = link.welcome
        loop = asyncio.get_running_loop()
        while True:
            told_at = loop.time()
            self._hurry.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_wait_s(welcome)):
                    await self._hurry.wait()
                    await asyncio.sleep(told_at + RELAYS_ASKED_AGAIN_S - loop.time())
            try:
                answer = await link.request(Renew(id=next(self._ids)))
            except SignallingError as error:
                logger.info("relay credentials were not renewed: %s", error)
                return
            if isinstance(answer, Welcome):
                welcome = answer
                self._on_welcome(welcome)


def _wait_s(welcome: Welcome) -> float | None:
    waits = [] if welcome.again_s is None else [max(_SHORTEST_WAIT_S, welcome.again_s)]
    if welcome.turn:
        # By the server's clock from end to end: ours may be wrong.
        life_s = min(server.expires_wall for server in welcome.turn) - welcome.now_wall
        waits.append(max(_SHORTEST_WAIT_S, life_s * (1 - SIGNALLING_RENEW_MARGIN)))
    return min(waits, default=None)
