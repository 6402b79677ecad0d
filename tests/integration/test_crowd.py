"""Many sessions that begin at once between two programs."""

from __future__ import annotations

import asyncio
from pathlib import Path

from p2p.errors import P2PError
from p2p.session.connector import Connector
from p2p.session.options import ConnectOptions
from p2p.session.peer_session import PeerSession
from tests.support.peers import ANYWHERE, world

COUNT = 48
"""Their offers are more than a rendezvous keeps for one client that has not read them."""


async def test_each_of_many_comes_about_although_the_rendezvous_refuses_some_signals(tmp_path: Path) -> None:
    async with world(tmp_path) as servers:
        exposer, _, _ = await servers.expose(9)
        options = ConnectOptions(ticket=exposer.ticket, listen={"": ANYWHERE})
        async with Connector(options, servers.options(), on_event=lambda event: None) as connector:

            async def open_session() -> PeerSession:
                while True:
                    try:
                        return await connector.open_session(20.0)
                    except P2PError as error:
                        # As a connector does it: an offer that found no room is made anew.
                        if not error.retryable:
                            raise
                        await asyncio.sleep(0.1)

            sessions = await asyncio.gather(*(open_session() for _ in range(COUNT)))
            assert all(session.is_established for session in sessions)
