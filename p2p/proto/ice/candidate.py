"""Candidates: addresses at which a peer may be reached, and how signalling spells them.

A candidate travels as one line of text, the ``candidate-attribute`` of SDP without its ``a=``:

    candidate:FOUNDATION COMPONENT udp PRIORITY ADDRESS PORT typ TYPE [raddr ADDRESS rport PORT] [NAME VALUE ...]

Source: RFC 8445 sections 5.1 and 5.3, RFC 8839 section 5.1.
"""

from __future__ import annotations

import ipaddress
import zlib
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from p2p.address import TransportAddress
from p2p.errors import DecodeError

REMOTE_BASE_ID: Final = -1
"""The base of a candidate of the peer: its transports are not ours to name."""
MAX_LOCAL_PREFERENCE: Final = 65535
COMPONENT_ID: Final = 1
"""Everything shares one component, so there is one number."""

_MAX_LINE_CHARACTERS: Final = 300
_MAX_FOUNDATION_CHARACTERS: Final = 32
_MAX_PRIORITY: Final = 0x7FFFFFFF
_PREFIX: Final = "candidate:"
_RELAY_PROTOCOL: Final = "relay-protocol"


class CandidateType(StrEnum):
    """How an address came to be known; the values are those on the wire. Source: RFC 8445 section 4."""

    HOST = "host"
    SERVER_REFLEXIVE = "srflx"
    PEER_REFLEXIVE = "prflx"
    RELAYED = "relay"


class RelayProtocol(StrEnum):
    """What carries the traffic between a peer and its relay."""

    UDP = "udp"
    TCP = "tcp"
    TLS = "tls"


TYPE_PREFERENCE: Final = {
    CandidateType.HOST: 126,
    CandidateType.PEER_REFLEXIVE: 110,
    CandidateType.SERVER_REFLEXIVE: 100,
    CandidateType.RELAYED: 0,
}
"""Recommended values. Source: RFC 8445 section 5.1.2.2."""

_RELAY_PENALTY: Final = {RelayProtocol.UDP: 0, RelayProtocol.TCP: 256, RelayProtocol.TLS: 512}


def candidate_priority(type_preference: int, local_preference: int, component: int = COMPONENT_ID) -> int:
    """Combine the preferences into the priority of a candidate.

    Args:
        type_preference: 0 to 126, higher is better.
        local_preference: 0 to 65,535, higher is better; tells candidates of one type apart.
        component: 1 to 256.

    Source: RFC 8445 section 5.1.2.1.
    """
    return (type_preference << 24) | (local_preference << 8) | (256 - component)


@dataclass(frozen=True, slots=True)
class Candidate:
    """An address at which a peer may be reached.

    Attributes:
        type: How the address came to be known.
        address: The address.
        base_id: The local transport (a UDP socket or a relay allocation) whose traffic this address receives;
            ``REMOTE_BASE_ID`` for a candidate of the peer.
        related: Where the address was derived from, for diagnosis: the host address of a reflexive candidate,
            the mapped address of a relayed one.
        priority: 1 to 2^31 - 1, higher is better. Source: RFC 8445 section 5.1.2.
        foundation: Equal for candidates of one type, base and server. Source: RFC 8445 section 5.1.1.3.
        component: Always 1: everything shares one port.
        relay_protocol: For a relayed candidate, what its owner speaks to the relay.
    """

    type: CandidateType
    address: TransportAddress
    base_id: int
    related: TransportAddress | None
    priority: int
    foundation: str
    component: int = COMPONENT_ID
    relay_protocol: RelayProtocol = RelayProtocol.UDP

    @classmethod
    def local(
        cls,
        candidate_type: CandidateType,
        address: TransportAddress,
        base_id: int,
        *,
        related: TransportAddress | None = None,
        server: str = "",
        local_preference: int | None = None,
        relay_protocol: RelayProtocol = RelayProtocol.UDP,
    ) -> Candidate:
        """Make a candidate of ours, with its priority and foundation.

        Args:
            candidate_type: How the address came to be known.
            address: The address.
            base_id: The local transport, 0 or more.
            related: See the attribute.
            server: The STUN server or relay that it was learned from.
            local_preference: 0 to 65,535; None takes the highest, less one for IPv4 (RFC 8421 prefers IPv6),
                less 256 for a relay spoken to over TCP, 512 over TLS.
            relay_protocol: See the attribute.
        """
        if local_preference is None:
            local_preference = MAX_LOCAL_PREFERENCE - (not address.is_ipv6) - _RELAY_PENALTY[relay_protocol]
        priority = candidate_priority(TYPE_PREFERENCE[candidate_type], local_preference)
        base_host = address.host if related is None else related.host
        foundation = f"{zlib.crc32(f'{candidate_type}|{base_host}|{server}|{relay_protocol}'.encode()):08x}"
        return cls(candidate_type, address, base_id, related, priority, foundation, relay_protocol=relay_protocol)

    @property
    def via_relay(self) -> bool:
        """Whether packets from this candidate come through a relay.

        A peer-reflexive candidate is one when its check claimed the type preference of a relayed candidate; see
        ``check_priority``.
        """
        if self.type is CandidateType.RELAYED:
            return True
        return self.type is CandidateType.PEER_REFLEXIVE and self.priority >> 24 == 0

    @property
    def check_priority(self) -> int:
        """What the PRIORITY attribute of checks sent from this candidate's base says.

        Deviation: RFC 8445 section 7.1.1 wants the type preference of a peer-reflexive candidate whatever the
        base. From a relay allocation we keep that of a relayed one, so that a peer that does not know the
        relayed address yet does not take the path for a direct one.
        """
        preference = TYPE_PREFERENCE[CandidateType.PEER_REFLEXIVE] if not self.via_relay else 0
        return (preference << 24) | (self.priority & 0xFFFFFF)

    def upgraded(self, signalled: Candidate) -> Candidate:
        """Give a learned candidate the type and foundation under which signalling names the same address.

        A candidate that was seen to come through a relay stays one.

        Source: RFC 8445 section 7.3.1.3.
        """
        return (
            signalled if signalled.via_relay or not self.via_relay else replace(signalled, type=CandidateType.RELAYED)
        )

    def to_wire(self) -> str:
        """Write the line of text that ``from_wire_untrusted`` reads."""
        words = [
            f"{_PREFIX}{self.foundation} {self.component} udp {self.priority}",
            f"{self.address.host} {self.address.port} typ {self.type}",
        ]
        if self.related is not None:
            words.append(f"raddr {self.related.host} rport {self.related.port}")
        if self.type is CandidateType.RELAYED:
            words.append(f"{_RELAY_PROTOCOL} {self.relay_protocol}")
        return " ".join(words)

    @classmethod
    def from_wire_untrusted(cls, line: str) -> Candidate:
        """Read a candidate of the peer.

        Names (mDNS) are not resolved, transports but UDP and components but 1 are refused, and so are addresses
        that no peer can have: unspecified, multicast and broadcast ones.

        Args:
            line: What the peer sent, with or without ``candidate:`` in front.

        Raises:
            DecodeError: The line is no candidate that could be checked.
        """
        if not isinstance(line, str) or len(line) > _MAX_LINE_CHARACTERS:
            raise DecodeError("a candidate is a short line of text")
        words = line.removeprefix(_PREFIX).split()
        if len(words) < 8 or len(words) % 2 or words[6].lower() != "typ":
            raise DecodeError("a candidate has at least eight words, the seventh being typ")
        foundation, component, transport, priority = words[:4]
        if not 0 < len(foundation) <= _MAX_FOUNDATION_CHARACTERS:
            raise DecodeError("a foundation has 1 to 32 characters")
        if component != str(COMPONENT_ID) or transport.lower() != "udp":
            raise DecodeError("only UDP and component 1 are in use here")
        extensions = dict(zip(words[8::2], words[9::2], strict=True))
        try:
            candidate_type = CandidateType(words[7].lower())
            relay_protocol = RelayProtocol(extensions.get(_RELAY_PROTOCOL, RelayProtocol.UDP).lower())
        except ValueError as error:
            raise DecodeError("unknown type of candidate or of relay protocol") from error
        related = None
        if "raddr" in extensions:
            related = _address_untrusted(extensions["raddr"], extensions.get("rport", "0"), checked=False)
        return cls(
            candidate_type,
            _address_untrusted(words[4], words[5], checked=True),
            REMOTE_BASE_ID,
            related,
            _number_untrusted(priority, 1, _MAX_PRIORITY),
            foundation,
            relay_protocol=relay_protocol,
        )


def _number_untrusted(text: str, least: int, most: int) -> int:
    """Read a decimal number; ``int`` alone would also take signs, underscores and other scripts' digits."""
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and least <= int(text) <= most):
        raise DecodeError(f"not a number from {least} to {most}")
    return int(text)


def _address_untrusted(host: str, port: str, *, checked: bool) -> TransportAddress:
    """Read an address; ``checked`` ones are going to be sent to and must be a single host's."""
    try:
        ip = ipaddress.ip_address(host)
    except ValueError as error:
        raise DecodeError("not an IP address in a candidate") from error
    if isinstance(ip, ipaddress.IPv6Address) and (ip.scope_id is not None or ip.ipv4_mapped is not None):
        raise DecodeError("a scoped or IPv4-mapped address in a candidate")
    if checked and (ip.is_unspecified or ip.is_multicast or str(ip) == "255.255.255.255"):
        raise DecodeError("an address in a candidate that no peer can have")
    return TransportAddress(str(ip), _number_untrusted(port, 1 if checked else 0, 65535))
