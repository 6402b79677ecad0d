"""What a router grants, whichever protocol it speaks."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from enum import StrEnum

from p2p.address import TransportAddress


class MappingProtocol(StrEnum):
    """What a router is asked with; the values are those of reports."""

    PCP = "pcp"
    NAT_PMP = "nat_pmp"
    UPNP = "upnp"


@dataclass(frozen=True, slots=True)
class PortMapping:
    """A port of the router's that it forwards to us; not the mapping that a NAT makes by itself.

    Attributes:
        protocol: What it was asked for with.
        internal: Our address in the router's network.
        external: Where the outside reaches us, by the router's word; equal to ``internal`` where the router only opens
            its firewall.
        lifetime_s: How long it holds from when it was granted, in seconds; None means until it is taken back.
    """

    protocol: MappingProtocol
    internal: TransportAddress
    external: TransportAddress
    lifetime_s: float | None

    @property
    def is_pinhole(self) -> bool:
        """Whether the router translates nothing, and only lets packets in."""
        return self.external == self.internal


def is_public(host: str) -> bool:
    """Tell whether an address is one that all of the internet could reach.

    A router that has no such address is behind another NAT: what it forwards, nobody outside can send to.

    Args:
        host: An IP address.

    Source: RFC 6890 (special-purpose addresses), RFC 6598 (100.64.0.0/10).
    """
    ip = ipaddress.ip_address(host)
    return ip.is_global and not ip.is_multicast and not ip.is_reserved
