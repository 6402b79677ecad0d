"""What a session layer says while it runs: one event for each thing that happened.

``to_json`` gives the object that ``--json`` prints on a line: the event's name first, then ``t``, the seconds since
the command began signalling, then the fields. Names and fields are stable; docs/cli.md lists them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from p2p.address import TransportAddress
from p2p.errors import P2PError
from p2p.session.status import (
    UNKNOWN_NAT,
    UNKNOWN_NATS,
    NatFacts,
    PairStatus,
    PathKind,
    PathTransport,
    RelayedReason,
    SessionNat,
    SessionStatus,
    SignallingPhase,
    milliseconds,
)
from p2p.target import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What every event has."""

    name_in_json: ClassVar[str]
    t_s: float
    """Seconds since the command began signalling."""

    def to_json(self) -> dict[str, Any]:
        """The event as JSON values, ready for one line of output."""
        return {"event": self.name_in_json, "t": round(self.t_s, 6), **self._fields()}

    def _fields(self) -> dict[str, Any]:
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready(Event):
    """The exposer is published: the ticket works from now on."""

    name_in_json = "ready"
    ticket: str
    name: str
    service: str
    peer_id: str
    rendezvous: str
    services: Mapping[str, str] = field(default_factory=dict)
    """What is on offer: targets by name; a single service may have the empty name."""
    nat: NatFacts = UNKNOWN_NAT

    def _fields(self) -> dict[str, Any]:
        return {
            "ticket": self.ticket,
            "name": self.name,
            "service": self.service,
            "peer_id": self.peer_id,
            "rendezvous": self.rendezvous,
            "services": dict(self.services),
            "nat": self.nat.to_json(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening(Event):
    """The connecting side accepts local connections."""

    name_in_json = "listening"
    address: Target
    service: str = ""
    """Which service; empty for the ticket's own."""

    def _fields(self) -> dict[str, Any]:
        return {"address": str(self.address), **({"service": self.service} if self.service else {})}


@dataclass(frozen=True, slots=True, kw_only=True)
class _PathEvent(Event):
    """What the events that name a path have in common."""

    session: str
    path: PathKind
    transport: PathTransport = PathTransport.UDP
    address: TransportAddress | None = None
    rtt_s: float | None = None

    def _path_fields(self) -> dict[str, Any]:
        return {
            "path": self.path,
            "transport": self.transport,
            "address": None if self.address is None else str(self.address),
            "rtt_ms": milliseconds(self.rtt_s),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOpened(_PathEvent):
    """Exposing side: a peer proved its right and its session is open."""

    name_in_json = "session_opened"
    peer: str

    def _fields(self) -> dict[str, Any]:
        return {"session": self.session, "peer": self.peer, **self._path_fields()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected(_PathEvent):
    """Connecting side: the session is open, data can flow."""

    name_in_json = "connected"
    peer: str

    def _fields(self) -> dict[str, Any]:
        return {"session": self.session, "peer": self.peer, **self._path_fields()}


@dataclass(frozen=True, slots=True, kw_only=True)
class PathChanged(_PathEvent):
    """The session's datagrams travel on another path from now on."""

    name_in_json = "path"

    def _fields(self) -> dict[str, Any]:
        return {"session": self.session, **self._path_fields()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Relayed(Event):
    """The checks are over and no direct path works."""

    name_in_json = "relayed"
    session: str
    reason: RelayedReason
    nat: SessionNat = UNKNOWN_NATS
    """The networks at both ends."""
    pairs: tuple[PairStatus, ...] = ()
    """The candidate pairs, best first, and what became of each."""

    def _fields(self) -> dict[str, Any]:
        return {
            "session": self.session,
            "reason": self.reason.to_json(),
            "nat": self.nat.to_json(),
            "pairs": [pair.to_json() for pair in self.pairs],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionClosed(Event):
    """A session ended."""

    name_in_json = "session_closed"
    session: str
    reason: str
    code: str | None = None
    """The stable error code, or None for an orderly end."""

    def _fields(self) -> dict[str, Any]:
        return {"session": self.session, "reason": self.reason, "code": self.code}


@dataclass(frozen=True, slots=True, kw_only=True)
class SignallingChanged(Event):
    """The connection to the rendezvous changed its state."""

    name_in_json = "signalling"
    state: SignallingPhase
    detail: str = ""

    def _fields(self) -> dict[str, Any]:
        return {"state": self.state, **({"detail": self.detail} if self.detail else {})}


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem(Event):
    """Something failed; the command may go on."""

    name_in_json = "error"
    error: P2PError

    def _fields(self) -> dict[str, Any]:
        return {"code": self.error.code, "detail": self.error.detail, "hint": self.error.hint}


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspecting(Event):
    """The inspector shows what passes."""

    name_in_json = "inspecting"
    url: str

    def _fields(self) -> dict[str, Any]:
        return {"url": self.url}


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayReady(Event):
    """A gateway listens, and publishers may come with its ticket."""

    name_in_json = "gateway_ready"
    ticket: str
    domain: str
    listeners: tuple[str, ...]
    """Such as ``http 0.0.0.0:80``."""

    def _fields(self) -> dict[str, Any]:
        return {"ticket": self.ticket, "domain": self.domain, "listeners": list(self.listeners)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Public(Event):
    """A gateway has put a service before the public."""

    name_in_json = "public"
    urls: tuple[str, ...]
    instances: int = 1
    """How many instances serve it now, this one included."""

    def _fields(self) -> dict[str, Any]:
        return {"urls": list(self.urls), "instances": self.instances}


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit(Event):
    """A visitor's request through a gateway has ended, or its connection has begun."""

    name_in_json = "visit"
    visitor: str
    summary: str
    status: int
    took_s: float

    def _fields(self) -> dict[str, Any]:
        return {
            "visitor": self.visitor,
            "summary": self.summary,
            "status": self.status or None,
            "took_ms": milliseconds(self.took_s),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Report(Event):
    """What happened from start to end; the last event."""

    name_in_json = "report"
    sessions: tuple[SessionStatus, ...] = ()
    """Every session of this run, with its last state."""
    flows_failed: int = 0
    """Forwarded connections that could not be opened."""
    outages: int = 0
    """How often the connection to the rendezvous was lost."""
    datagrams_dropped: int = 0
    """Datagrams of local programs that no session got."""

    def _fields(self) -> dict[str, Any]:
        return {
            "sessions": [session.to_json() for session in self.sessions],
            "bytes_in": sum(session.bytes_in for session in self.sessions),
            "bytes_out": sum(session.bytes_out for session in self.sessions),
            "flows_total": sum(session.flows_total for session in self.sessions),
            "flows_failed": self.flows_failed,
            "outages": self.outages,
            "datagrams_dropped": self.datagrams_dropped + sum(session.datagrams_dropped for session in self.sessions),
        }
