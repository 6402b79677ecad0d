"""What ``p2p ping`` asks: how long the way to an exposer is, and which way it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from p2p.defaults import PING_ANSWER_WAIT_S, PING_INTERVAL_S
from p2p.session.connector import Connector
from p2p.session.describe import path_fields
from p2p.session.options import ConnectOptions, PeerOptions
from p2p.session.reports import PingReply


async def ping(ticket: str, options: PeerOptions, count: int) -> AsyncIterator[PingReply]:
    """Open a session and ask the peer for answers, one a second.

    Args:
        ticket: The ticket's text.
        options: Who we are and where we meet.
        count: How many questions.

    Yields:
        Each answer as it comes, or that there was none.

    Raises:
        P2PError: The session cannot be opened, or ended.
    """
    async with Connector(ConnectOptions(ticket=ticket), options, on_event=lambda event: None) as connector:
        session = await connector.open_session(options.timeout_s)
        for sequence in range(1, count + 1):
            rtt_s: float | None = None
            try:
                async with asyncio.timeout(PING_ANSWER_WAIT_S):
                    rtt_s = await session.multiplexer.ping()
            except TimeoutError:
                pass
            yield PingReply(sequence=sequence, **{**path_fields(session), "rtt_s": rtt_s})
            if sequence < count:
                await asyncio.sleep(PING_INTERVAL_S)
