"""What a session layer tells the outside: immutable snapshots of its state.

A snapshot holds values only, plain strings where a protocol has its own types, so that whoever shows it needs no
protocol. Events, which tell what changed, are in ``p2p.session.events``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Literal

from p2p.address import TransportAddress


class PathKind(StrEnum):
    """How the datagrams of a session travel."""

    RELAY = "relay"
    DIRECT = "direct"


class PathTransport(StrEnum):
    """What carries the datagrams on our side: UDP, or the byte stream to a relay."""

    UDP = "udp"
    TCP = "tcp"
    TLS = "tls"


class SignallingPhase(StrEnum):
    """Where the connection to the rendezvous stands."""

    CONNECTING = "connecting"
    ONLINE = "online"
    OFFLINE = "offline"
    CLOSED = "closed"
    NONE = "none"
    """There is no rendezvous: the peers are on one network, or the ticket says where to call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NatFacts:
    """What is known of the network in front of this peer. None means unknown, never "no"."""

    mapping: str | None = None
    """``none`` (no NAT), ``endpoint_independent``, ``address_dependent`` or ``address_and_port_dependent``."""
    filtering: str | None = None
    """``none``, ``endpoint_independent``, ``address_dependent`` or ``address_and_port_dependent``."""
    port_preserving: bool | None = None
    """Whether the mapped port equals the local port."""
    udp_blocked: bool | None = None
    """True when no STUN server answered over UDP though one was reachable otherwise."""
    mapped_address: TransportAddress | None = None
    """The address that the outside sees, from the first STUN server."""

    def to_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {
            "mapping": self.mapping,
            "filtering": self.filtering,
            "port_preserving": self.port_preserving,
            "udp_blocked": self.udp_blocked,
            "mapped_address": None if self.mapped_address is None else str(self.mapped_address),
        }


UNKNOWN_NAT: Final = NatFacts()
"""Nothing is known yet."""


@dataclass(frozen=True, slots=True)
class RelayedReason:
    """Why a session stays on a relay."""

    code: str
    """A stable name, such as ``both-mappings-dependent``; docs/errors/relayed.md has a section for each."""
    text: str
    """The reason, for a person."""
    remedy: str = ""
    """What would change it, for a person."""
    certain: bool = True
    """Whether it follows from what was measured, and is not only the likeliest cause."""

    def to_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {"code": self.code, "text": self.text, "remedy": self.remedy, "certain": self.certain}


@dataclass(frozen=True, slots=True)
class SessionNat:
    """The networks at both ends of a session, as far as both sides know them."""

    local: NatFacts = UNKNOWN_NAT
    """In front of us."""
    remote: NatFacts = UNKNOWN_NAT
    """In front of the peer, by its own word."""

    def to_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {"local": self.local.to_json(), "remote": self.remote.to_json()}


UNKNOWN_NATS: Final = SessionNat()
"""Nothing is known of either yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairStatus:
    """One candidate pair and how its checks ended, or where they stand."""

    local: str
    """Type and address of our candidate, such as ``host 192.168.1.7:40000``."""
    remote: str
    """The same for the peer's candidate."""
    state: str
    """``waiting``, ``in-progress``, ``succeeded`` or ``failed``."""
    detail: str = ""
    """The evidence, such as ``unanswered after 7 checks``."""
    rtt_s: float | None = None
    """Last round-trip time in seconds."""
    local_type: str = ""
    """``host``, ``srflx``, ``prflx`` or ``relay``: how our address came to be known."""
    local_address: str = ""
    """Our address, as the peer sees it when it does."""
    remote_type: str = ""
    """The same for the peer's candidate."""
    remote_address: str = ""
    """The peer's address."""
    relayed: bool = False
    """Whether a relay is in the way."""
    end: str = ""
    """``unanswered``, ``asymmetric-response``, ``rejected`` or ``lost``; empty unless it failed."""
    attempts: int = 0
    """Checks sent."""
    selected: bool = False
    """Whether packets take this way."""

    def to_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {
            "local": self.local,
            "remote": self.remote,
            "state": self.state,
            "detail": self.detail,
            "rtt_ms": milliseconds(self.rtt_s),
            "local_type": self.local_type,
            "local_address": self.local_address,
            "remote_type": self.remote_type,
            "remote_address": self.remote_address,
            "relayed": self.relayed,
            "end": self.end or None,
            "attempts": self.attempts,
            "selected": self.selected,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionStatus:
    """One session: two peers, and the path between them."""

    session: str
    """A short id, unique in this process."""
    peer: str
    """The other side's peer id."""
    since_wall: float
    """When the session was opened, Unix time."""
    path: PathKind | None = None
    """None while no path works."""
    transport: PathTransport = PathTransport.UDP
    """What carries the datagrams on our side."""
    address: TransportAddress | None = None
    """Where we send to: the peer's address, or its relayed address."""
    rtt_s: float | None = None
    """Last round-trip time of the path in seconds."""
    packet_bytes: int | None = None
    """The longest packet that the path has proven to carry from here, or that all must; None while no path works."""
    relayed: RelayedReason | None = None
    """Why no direct path works; None before the checks are over, and on a direct path."""
    bytes_in: int = 0
    """Payload bytes that came from the peer."""
    bytes_out: int = 0
    """Payload bytes that went to the peer."""
    flows_open: int = 0
    """Forwarded connections open now."""
    flows_total: int = 0
    """Forwarded connections since the session was opened."""
    datagrams_dropped: int = 0
    """Forwarded datagrams that this side gave up because something was full, or nobody took them."""
    pairs: tuple[PairStatus, ...] = ()
    """The candidate pairs that were tried."""
    history: tuple[tuple[float, PathKind], ...] = ()
    """When the session went over to which kind of path, in seconds since signalling began; the latest ones."""
    nat: SessionNat = UNKNOWN_NATS
    """The networks at both ends."""

    def to_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {
            "session": self.session,
            "peer": self.peer,
            "since": round(self.since_wall, 3),
            "path": self.path,
            "transport": self.transport,
            "address": None if self.address is None else str(self.address),
            "rtt_ms": milliseconds(self.rtt_s),
            "packet_bytes": self.packet_bytes,
            "reason": None if self.relayed is None else self.relayed.to_json(),
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
            "flows_open": self.flows_open,
            "flows_total": self.flows_total,
            "datagrams_dropped": self.datagrams_dropped,
            "pairs": [pair.to_json() for pair in self.pairs],
            "history": [{"t": round(t_s, 6), "path": kind} for t_s, kind in self.history],
            "nat": self.nat.to_json(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckCounts:
    """Packets that were sent to find paths and to keep them, by all sessions together."""

    checks: int = 0
    """Connectivity checks to addresses that had not answered."""
    heartbeats: int = 0
    """Checks on paths that work: these measure and keep them."""
    guesses: int = 0
    """Checks to ports that were guessed."""
    withheld: int = 0
    """Checks and guesses that the program's budget did not allow at their time."""

    def to_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {
            "checks": self.checks,
            "heartbeats": self.heartbeats,
            "guesses": self.guesses,
            "withheld": self.withheld,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayPlace:
    """Our address on a relay."""

    address: TransportAddress
    """The relayed address."""
    server: TransportAddress
    """The relay."""
    transport: PathTransport
    """What carries the datagrams to it."""
    region: str = ""
    """Where the relay is, in its operator's words; empty when the rendezvous does not say."""

    def to_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {
            "address": str(self.address),
            "server": str(self.server),
            "transport": self.transport,
            "region": self.region,
        }


NO_CHECKS: Final = CheckCounts()
"""Nothing was sent yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Everything worth showing about a running ``expose`` or ``connect``, at one instant."""

    role: Literal["expose", "connect"]
    """Which side this is."""
    taken_at: float
    """Monotonic instant of the snapshot; two of them give rates."""
    peer_id: str = ""
    """Our own peer id."""
    signalling: SignallingPhase = SignallingPhase.CONNECTING
    """The connection to the rendezvous."""
    rendezvous: str = ""
    """URL of the rendezvous in use."""
    nat: NatFacts = UNKNOWN_NAT
    """The network in front of us."""
    service: str = ""
    """The service's id at the rendezvous."""
    name: str = ""
    """The service's name for people."""
    ticket: str = ""
    """The ticket that opens the service; empty on the connecting side and before it exists."""
    target: str = ""
    """What is on offer (expose), or where we listen (connect), for people."""
    sessions: tuple[SessionStatus, ...] = ()
    """The open sessions, oldest first."""
    datagrams_dropped: int = 0
    """Datagrams of local programs that found no session, or the kernel's buffer full; sessions count their own."""
    draining: bool = False
    """Whether new sessions are refused and the open connections are being waited for."""
    checks: CheckCounts = NO_CHECKS
    """What was sent to find paths."""
    relay: RelayPlace | None = None
    """Our address on a relay, while we have one."""
    public: tuple[str, ...] = ()
    """Where people without this program reach the service, by way of a gateway."""

    def to_json(self) -> dict[str, Any]:
        """The same as JSON values, without the ticket: a status file must not open a service."""
        return {
            "role": self.role,
            "peer_id": self.peer_id,
            "signalling": self.signalling,
            "rendezvous": self.rendezvous,
            "nat": self.nat.to_json(),
            "service": self.service,
            "name": self.name,
            "target": self.target,
            "sessions": [session.to_json() for session in self.sessions],
            "datagrams_dropped": self.datagrams_dropped,
            "draining": self.draining,
            "checks": self.checks.to_json(),
            "relay": None if self.relay is None else self.relay.to_json(),
            "public": list(self.public),
        }


def milliseconds(seconds: float | None) -> float | None:
    """Turn seconds into milliseconds with microsecond resolution, as all JSON output has them."""
    return None if seconds is None else round(seconds * 1000, 3)
