"""Which namespace, interface and address everything in a lab gets: pure arithmetic on a topology.

The addresses are the ones set aside for documentation and for carriers, the same in every lab; labs do not see each
other.

    srv    198.51.100.10 and 203.0.113.10, 2001:db8:0:10::10 and ::11
    inet   the internet: one interface for each router, named as the router, and one for srv
    NAME   a router: ``wan`` outside, ``lan`` (a bridge) inside
    NAME1  the first host on its LAN: ``eth0``
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from .errors import LabError
from .kinds import kind_named
from .topology import Topology

SERVER: Final = "srv"
INTERNET: Final = "inet"
SERVER_GATEWAY: Final = "198.51.100.9"
SERVER_ADDRESSES: Final = ("198.51.100.10", "203.0.113.10")
SERVER_GATEWAY6: Final = "2001:db8:0:10::1"
SERVER_ADDRESSES6: Final = ("2001:db8:0:10::10", "2001:db8:0:10::11")

# Router n has 198.51.100.(4n)/30 outside and, where it is public, 203.0.113.(16n)/28 inside. The server's addresses
# lie below n = 4, and 203.0.113.0/24 ends at n = 15.
_FIRST_ROUTER: Final = 4
_LAST_ROUTER: Final = 15
_PUBLIC: Final = "11.51.100"


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterPlan:
    """The addresses of one router.

    Attributes:
        number: Its number in the address plan, from 4.
        wan: Its outside IPv4 address.
        wan_prefix: Prefix length outside.
        gateway: The next router's IPv4 address.
        lan: Its inside IPv4 address.
        lan_prefix: Prefix length inside.
        first_host: The last part of the IPv4 address of its first host.
        has_ipv6: Whether it and its hosts have IPv6.
    """

    number: int
    wan: str
    wan_prefix: int
    gateway: str
    lan: str
    lan_prefix: int
    first_host: int
    has_ipv6: bool

    @property
    def wan6(self) -> str:
        """Its outside IPv6 address."""
        return f"2001:db8:f:{self.number}::2"

    @property
    def gateway6(self) -> str:
        """The next router's IPv6 address."""
        return f"2001:db8:f:{self.number}::1"

    @property
    def network6(self) -> str:
        """The IPv6 network routed to it; its LAN is the first /64 in there."""
        return f"2001:db8:{self.number}::/48"

    @property
    def lan6(self) -> str:
        """Its inside IPv6 address."""
        return f"2001:db8:{self.number}::1"

    def host_address(self, index: int) -> str:
        """The IPv4 address of a host; `index` counts from 0."""
        return f"{self.lan.rpartition('.')[0]}.{self.first_host + index}"

    def host_address6(self, index: int) -> str:
        """The IPv6 address of a host; `index` counts from 0."""
        return f"2001:db8:{self.number}::{11 + index}"

    @property
    def pool(self) -> tuple[str, ...]:
        """The outside addresses that a router with a pool has."""
        return tuple(f"203.0.113.{16 * self.number + offset}" for offset in range(1, 5))

    @property
    def spare_wan(self) -> str:
        """The address it gets when its provider gives it another one."""
        return f"203.0.113.{16 * self.number + 15}"


def namespace_name(prefix: str, name: str) -> str:
    """Name the network namespace of a host, a router, ``inet`` or ``srv``."""
    return f"{prefix}-{name}"


def plan_routers(topology: Topology) -> Mapping[str, RouterPlan]:
    """Give every router its addresses.

    Raises:
        LabError: There are more routers than addresses.
    """
    most = _LAST_ROUTER - _FIRST_ROUTER + 1
    if len(topology.routers) > most:
        raise LabError(f"{len(topology.routers)} routers are too many", f"A lab has at most {most}.")
    plans: dict[str, RouterPlan] = {}
    carriers = {router.uplink for router in topology.routers if router.uplink is not None}
    for number, router in enumerate(topology.routers, _FIRST_ROUTER):
        if router.portmap:
            # The port mapper forwards from no address that is set aside for documentation.
            wan, wan_prefix, gateway = f"{_PUBLIC}.{4 * number + 2}", 30, f"{_PUBLIC}.{4 * number + 1}"
        elif router.uplink is None:
            wan, wan_prefix, gateway = f"198.51.100.{4 * number + 2}", 30, f"198.51.100.{4 * number + 1}"
        else:
            gateway = plans[router.uplink].lan
            wan, wan_prefix = f"{gateway.rpartition('.')[0]}.{100 + number}", 24
        if not kind_named(router.kind).translates:
            network, first, lan_prefix = "203.0.113", 16 * number, 28
            first_host = first + 2
        else:
            network = f"100.64.{number}" if router.name in carriers else f"10.{number}.0"
            first, lan_prefix = 0, 24
            first_host = 11
        plans[router.name] = RouterPlan(
            number=number,
            wan=wan,
            wan_prefix=wan_prefix,
            gateway=gateway,
            lan=f"{network}.{first + 1}",
            lan_prefix=lan_prefix,
            first_host=first_host,
            has_ipv6=topology.ipv6 and router.uplink is None,
        )
    return plans
