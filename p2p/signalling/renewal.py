"""Keeping relay credentials fresh."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from typing import Final

from p2p.defaults import SIGNALLING_RENEW_MARGIN
from p2p.errors import SignallingError
from p2p.proto.signalling.messages import Renew, Welcome
from p2p.signalling.link import Link

logger = logging.getLogger(__name__)

_SHORTEST_WAIT_S: Final = 1.0
"""A server that hands out credentials without any life left must not make us ask in a loop."""


async def renew_forever(link: Link, ids: Iterator[int], on_welcome: Callable[[Welcome], object]) -> None:
    """Ask for relay credentials again and again, each time before those at hand end.

    Args:
        link: Where to ask; its welcome has the first ones.
        ids: Numbers for the requests.
        on_welcome: Called with each answer.
    """
    welcome = link.welcome
    while welcome.turn:
        # By the server's clock from end to end: ours may be wrong.
        life_s = min(server.expires_wall for server in welcome.turn) - welcome.now_wall
        await asyncio.sleep(max(_SHORTEST_WAIT_S, life_s * (1 - SIGNALLING_RENEW_MARGIN)))
        try:
            answer = await link.request(Renew(id=next(ids)))
        except SignallingError as error:
            # The next login brings fresh ones.
            logger.info("relay credentials were not renewed: %s", error)
            return
        if isinstance(answer, Welcome):
            welcome = answer
            on_welcome(welcome)
