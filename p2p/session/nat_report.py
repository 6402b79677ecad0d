"""The answer of ``p2p nat``, as values. None means unknown, never "no"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from p2p.address import TransportAddress
from p2p.session.outlook import Outlook, OutlookKind
from p2p.session.router_report import RouterReport
from p2p.session.status import NatFacts, PathTransport, milliseconds

NO_OUTLOOK = Outlook(OutlookKind.UNKNOWN, "nothing is known yet")


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayReach:
    """Whether a relay answers over one transport."""

    url: str
    """Such as ``turn:relay.example:3478?transport=udp``."""
    region: str = ""
    """Where it is, in its operator's words; empty when the rendezvous does not say."""
    transport: PathTransport
    """What was used to reach it."""
    reachable: bool
    """Whether it answered."""
    rtt_s: float | None = None
    """Round-trip time in seconds, when it answered."""
    detail: str = ""
    """Why not, when it did not answer."""

    def to_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {
            "url": self.url,
            "region": self.region,
            "transport": self.transport,
            "reachable": self.reachable,
            "rtt_ms": milliseconds(self.rtt_s),
            "detail": self.detail,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerReach:
    """Whether a STUN server answers."""

    address: TransportAddress
    """Of the server."""
    udp: bool | None
    """Whether it answered over UDP."""
    tcp: bool | None = None
    """Whether it answered over TCP; asked only when it did not over UDP."""
    rtt_s: float | None = None
    """Round-trip time over UDP in seconds."""
    other_address: TransportAddress | None = None
    """Its second address, which the tests of RFC 5780 need; None when it has none."""

    def to_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {
            "address": str(self.address),
            "udp": self.udp,
            "tcp": self.tcp,
            "rtt_ms": milliseconds(self.rtt_s),
            "other_address": _text(self.other_address),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Ipv6Report:
    """What is known of IPv6."""

    present: bool
    """Whether this host has an address beyond its link."""
    reachable: bool | None = None
    """Whether a STUN server answered over UDP; None when none was to be asked."""
    mapped_address: TransportAddress | None = None
    """Our address as the server sees it."""
    filtering: str | None = None
    """As in ``NatFacts``."""

    def to_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {
            "present": self.present,
            "reachable": self.reachable,
            "mapped_address": _text(self.mapped_address),
            "filtering": self.filtering,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class LifetimeReport:
    """How long a mapping lives without traffic."""

    at_least_s: float = 0.0
    """It was there after so many seconds."""
    at_most_s: float | None = None
    """It was gone after so many; None when it was never found gone."""
    is_complete: bool = True
    """Whether the search ran to its end."""
    reason: str = ""
    """Why nothing could be found out."""

    def to_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {
            "at_least_s": round(self.at_least_s, 1),
            "at_most_s": None if self.at_most_s is None else round(self.at_most_s, 1),
            "complete": self.is_complete,
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Previous:
    """What was known of this network before."""

    age_s: float
    """How long ago it was examined."""
    same: bool
    """Whether nothing contradicts it now."""

    def to_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {"age_s": round(self.age_s), "same": self.same}


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocator:
    """How the NAT picks the outside port of a new mapping."""

    kind: str
    """``preserving``, ``sequential`` or ``random``."""
    step: int | None = None
    """The distance between consecutive ports, with its sign."""
    port_range: tuple[int, int] | None = None
    """The lowest and the highest port seen."""
    parity_kept: bool | None = None
    """Whether even ports stay even."""
    contiguity_kept: bool | None = None
    """Whether neighbours stay neighbours."""

    def __str__(self) -> str:
        if self.kind == "sequential" and self.step is not None:
            return f"sequential {self.step:+d}"
        if self.kind == "random" and self.port_range is not None:
            return f"random {self.port_range[0]}-{self.port_range[1]}"
        return self.kind


@dataclass(frozen=True, slots=True, kw_only=True)
class NatReport:
    """What ``p2p nat`` found out."""

    facts: NatFacts
    """Mapping, filtering, port preservation, whether UDP passes, the address seen from outside."""
    outlook: Outlook = NO_OUTLOOK
    """What it means."""
    local_addresses: tuple[TransportAddress, ...] = ()
    """Our own addresses that were considered."""
    translated: bool | None = None
    """Whether there is a NAT at all."""
    mapped_hosts: tuple[str, ...] = ()
    """All outside IPv4 addresses that were seen."""
    ipv4: bool | None = None
    """Whether a server answered over IPv4."""
    ipv6: Ipv6Report = field(default_factory=lambda: Ipv6Report(present=False))
    """The same for IPv6, and more."""
    hairpinning: bool | None = None
    """Whether the NAT returns a datagram sent from inside to its own mapped address."""
    allocator: Allocator | None = None
    """How a new mapping's port is picked."""
    lifetime: LifetimeReport | None = None
    """How long a mapping lives; None when it was not asked."""
    router: RouterReport | None = None
    """What the routers in front of us say of opening ports; None when none was asked."""
    classic_name: str | None = None
    """The NAT type in RFC 3489's words, by pystun3, as a second opinion."""
    stun_rtt_s: float | None = None
    """Round-trip time to the nearest STUN server in seconds."""
    servers: tuple[ServerReach, ...] = ()
    """The STUN servers that were asked."""
    relays: tuple[RelayReach, ...] = ()
    """Relay reachability for each transport."""
    previous: Previous | None = None
    """What was known of this network before; None when nothing was, or nobody looked."""
    unknown: Mapping[str, str] = field(default_factory=dict)
    """Why a field of this report is not known."""
    notes: tuple[str, ...] = ()
    """What else is worth knowing, each a sentence."""

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        allocator = self.allocator
        return {
            "event": "nat",
            **self.facts.to_json(),
            "outlook": self.outlook.kind,
            "sentence": self.outlook.sentence,
            "translated": self.translated,
            "local_addresses": [bare(address) for address in self.local_addresses],
            "mapped_hosts": list(self.mapped_hosts),
            "ipv4": self.ipv4,
            "ipv6": self.ipv6.reachable if self.ipv6.present else False,
            "ipv6_details": self.ipv6.to_json(),
            "hairpinning": self.hairpinning,
            "allocator": None if allocator is None else str(allocator),
            "allocation": None if allocator is None else allocator.kind,
            "port_step": None if allocator is None else allocator.step,
            "port_range": None if allocator is None or allocator.port_range is None else list(allocator.port_range),
            "parity_kept": None if allocator is None else allocator.parity_kept,
            "contiguity_kept": None if allocator is None else allocator.contiguity_kept,
            "lifetime": None if self.lifetime is None else self.lifetime.to_json(),
            "port_mapping": None if self.router is None else list(self.router.protocols),
            "port_mapping_details": None if self.router is None else self.router.to_json(),
            "classic_name": self.classic_name,
            "stun_rtt_ms": milliseconds(self.stun_rtt_s),
            "servers": [server.to_json() for server in self.servers],
            "relays": [relay.to_json() for relay in self.relays],
            "previous": None if self.previous is None else self.previous.to_json(),
            "unknown": dict(self.unknown),
            "notes": list(self.notes),
        }


def bare(address: TransportAddress) -> str:
    """An address as text, without its port when that is 0, which stands for any."""
    return str(address) if address.port else address.host


def _text(address: TransportAddress | None) -> str | None:
    return None if address is None else str(address)
