"""The audit log of what passes unread: ports, and TLS that the service ends itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from gateway.core.audit import Record, time_of
from gateway.core.registry import Service
from gateway.publishers import Publisher
from p2p.address import TransportAddress
from p2p.forward.counters import FlowSnapshot
from p2p.session.peer_session import PeerSession


class PortAudit:
    """Writes a record of each connection when it is over, and of each that was refused.

    Args:
        write: Takes the records; None keeps none.
    """

    def __init__(self, write: Callable[[Record], None] | None) -> None:
        self._write = write
        self._places: dict[PeerSession, dict[str, tuple[Service[Publisher], Publisher]]] = {}

    def joined(self, service: Service[Publisher], publisher: Publisher) -> None:
        """Watch the flows to an instance from now on."""
        if self._write is not None and service.kind != "http":
            session = publisher.session
            self._places.setdefault(session, {})[publisher.service] = (service, publisher)
            session.multiplexer.on_flow_ended = lambda figures: self._ended(session, figures)

    def closed(self, session: PeerSession) -> None:
        """Forget a session; its last flows have ended."""
        self._places.pop(session, None)

    def refused(self, service: Service[Publisher], visitor: TransportAddress, problem: str) -> None:
        """Tell of a connection that was not handed over."""
        if self._write is not None:
            record = Record(
                time=time_of(time.time()),
                kind=service.kind,
                visitor=str(visitor),
                service=service.reference,
                problem=problem,
            )
            self._write(record)

    def _ended(self, session: PeerSession, figures: FlowSnapshot) -> None:
        place = self._places.get(session, {}).get(figures.service)
        if place is None or figures.origin is None or self._write is None:
            return
        service, publisher = place
        took_s = asyncio.get_running_loop().time() - figures.opened_at
        record = Record(
            time=time_of(time.time() - took_s),
            kind=service.kind,
            visitor=str(figures.origin),
            service=service.reference,
            bytes_in=figures.bytes_out,
            bytes_out=figures.bytes_in,
            took_ms=round(took_s * 1000, 3),
            instance=publisher.name,
            problem="" if figures.connected else "upstream",
        )
        self._write(record)
