"""Answers of the one-shot commands ``p2p ping`` and ``p2p nat``, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from p2p.address import TransportAddress
from p2p.session.status import NatFacts, PathKind, PathTransport, milliseconds


@dataclass(frozen=True, slots=True, kw_only=True)
class PingReply:
    """One answer of the peer."""

    sequence: int
    """Number of the question, from 1."""
    path: PathKind
    """How question and answer travelled."""
    transport: PathTransport = PathTransport.UDP
    """What carried them on our side."""
    address: TransportAddress | None = None
    """Where the question was sent."""
    rtt_s: float | None = None
    """Round-trip time in seconds; None when no answer came in time."""

    def to_json(self) -> dict[str, Any]:
        """The reply as JSON values, ready for one line of output."""
        return {
            "event": "ping",
            "sequence": self.sequence,
            "path": self.path,
            "transport": self.transport,
            "address": None if self.address is None else str(self.address),
            "rtt_ms": milliseconds(self.rtt_s),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayReach:
    """Whether a relay answers over one transport."""

    url: str
    """Such as ``turn:relay.example:3478?transport=udp``."""
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
            "transport": self.transport,
            "reachable": self.reachable,
            "rtt_ms": milliseconds(self.rtt_s),
            "detail": self.detail,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class NatReport:
    """What ``p2p nat`` found out. None means unknown, never "no"."""

    facts: NatFacts
    """Mapping, filtering, port preservation, whether UDP passes, the address seen from outside."""
    local_addresses: tuple[TransportAddress, ...] = ()
    """Our own addresses that were considered."""
    ipv4: bool | None = None
    """Whether a server answered over IPv4."""
    ipv6: bool | None = None
    """Whether a server answered over IPv6."""
    hairpinning: bool | None = None
    """Whether the NAT returns a datagram sent from inside to its own mapped address."""
    allocator: str | None = None
    """How a dependent mapping picks ports: ``sequential +2``, ``random 20000-60000``, and the like."""
    port_mapping: tuple[str, ...] | None = None
    """Port-mapping protocols that answered (``pcp``, ``nat_pmp``, ``upnp``); None when none was tried."""
    classic_name: str | None = None
    """The NAT type in RFC 3489's words, by pystun3, as a second opinion."""
    stun_rtt_s: float | None = None
    """Round-trip time to the first STUN server in seconds."""
    relays: tuple[RelayReach, ...] = ()
    """Relay reachability for each transport."""
    notes: tuple[str, ...] = ()
    """What could not be found out and why, each a sentence."""

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {
            "event": "nat",
            **self.facts.to_json(),
            "local_addresses": [bare(address) for address in self.local_addresses],
            "ipv4": self.ipv4,
            "ipv6": self.ipv6,
            "hairpinning": self.hairpinning,
            "allocator": self.allocator,
            "port_mapping": None if self.port_mapping is None else list(self.port_mapping),
            "classic_name": self.classic_name,
            "stun_rtt_ms": milliseconds(self.stun_rtt_s),
            "relays": [relay.to_json() for relay in self.relays],
            "notes": list(self.notes),
        }


def bare(address: TransportAddress) -> str:
    """An address as text, without its port when that is 0, which stands for any."""
    return str(address) if address.port else address.host
