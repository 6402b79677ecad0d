"""A program that opens many sessions at once to one exposer, and tells what became of each.

``python -m tests.support.crowd_dialer TICKET COUNT FOLDER SECONDS`` prints one JSON object: when sessions were open and
direct, in seconds since all began, why others are not, and how many checks, guesses and heartbeats were sent by when.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

from p2p.errors import P2PError
from p2p.session.backoff import wait_after_s
from p2p.session.connector import Connector
from p2p.session.events import Connected, Event, PathChanged, Relayed
from p2p.session.options import ConnectOptions, PeerOptions
from p2p.session.status import PathKind
from p2p.target import TcpTarget

_SAMPLE_S = 0.1


class Crowd:
    """Opens sessions, and notes what is told of them.

    Args:
        ticket: Of the exposer.
        folder: Where our key goes.
    """

    def __init__(self, ticket: str, folder: Path) -> None:
        listen = {"": TcpTarget("127.0.0.1", 0)}
        options = PeerOptions(identity_path=folder / "crowd.pem", timeout_s=60.0, shared_folder=folder / "guessing")
        self.connector = Connector(ConnectOptions(ticket=ticket, listen=listen), options, on_event=self._told)
        self.open_s: dict[str, float] = {}
        self.direct_s: dict[str, float] = {}
        self.reasons: dict[str, str] = {}
        self.refusals: list[str] = []
        self.direct_at_end = 0
        self.sent: list[tuple[float, int, int, int]] = []
        self._started_at = 0.0

    @property
    def t_s(self) -> float:
        """Seconds since the sessions began."""
        return time.monotonic() - self._started_at

    def _told(self, event: Event) -> None:
        if isinstance(event, Connected):
            self.open_s[event.session] = self.t_s
        if isinstance(event, Connected | PathChanged) and event.path is PathKind.DIRECT:
            self.direct_s.setdefault(event.session, self.t_s)
        if isinstance(event, Relayed):
            self.reasons[event.session] = event.reason.code

    async def run(self, count: int, within_s: float) -> None:
        """Open so many at once, and look on for a while."""
        async with self.connector:
            await self.connector.reach_rendezvous()
            self._started_at = time.monotonic()
            opening = [asyncio.create_task(self._open()) for _ in range(count)]  # noqa: TID251 -- a test's own program
            while self.t_s < within_s and min(len(self.open_s), len(self.direct_s)) < count:
                stats = self.connector.node.endpoint.stats
                self.sent.append((self.t_s, stats.checks, stats.guesses, stats.heartbeats))
                await asyncio.sleep(_SAMPLE_S)
            self.direct_at_end = sum(
                session.path is not None and session.path.is_direct for session in self.connector.sessions.values()
            )
            for task in opening:
                task.cancel()
            await asyncio.gather(*opening, return_exceptions=True)

    async def _open(self) -> None:
        failures = 0
        while True:
            try:
                await self.connector.open_session(60.0)
                return
            except P2PError as error:
                failures += 1
                self.refusals.append(str(error))
                await asyncio.sleep(wait_after_s(failures, least_s=0.25, most_s=10.0))

    def report(self) -> dict[str, Any]:
        """What became of it."""
        return {
            "open_s": sorted(self.open_s.values()),
            "direct_s": sorted(self.direct_s.values()),
            "direct_at_end": self.direct_at_end,
            "reasons": sorted(self.reasons.values()),
            "refusals": self.refusals,
            "sent": self.sent,
        }


def main() -> None:
    """Run one."""
    ticket, count, folder, within_s = sys.argv[1:]
    crowd = Crowd(ticket, Path(folder))
    asyncio.run(crowd.run(int(count), float(within_s)))
    print(json.dumps(crowd.report()))


if __name__ == "__main__":
    main()
