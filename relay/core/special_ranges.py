"""Address ranges that no stranger's data may be sent to, and the IPv4 addresses that hide in IPv6 ones.

Source: RFC 6890 and the IANA special-purpose address registries, RFC 8656 section 21.1.6.
"""

from __future__ import annotations

import ipaddress
from typing import Final, TypeAlias

IPAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


def _networks(*texts: str) -> tuple[IPNetwork, ...]:
    return tuple(ipaddress.ip_network(text) for text in texts)


LOOPBACK: Final = _networks("127.0.0.0/8", "::1/128")

PRIVATE: Final = _networks(
    "10.0.0.0/8",
    "100.64.0.0/10",  # shared by carrier-grade NATs
    "172.16.0.0/12",
    "192.168.0.0/16",
    "192.0.2.0/24",  # documentation, which laboratories use
    "198.18.0.0/15",  # benchmarks
    "198.51.100.0/24",
    "203.0.113.0/24",
    "fc00::/7",
    "2001:db8::/32",
    "3fff::/20",
)

NEVER: Final = _networks(
    "0.0.0.0/8",  # a socket takes 0.0.0.0 for this host
    "224.0.0.0/4",  # multicast
    "255.255.255.255/32",
    "::/128",
    "ff00::/8",
    "::ffff:0:0/96",  # IPv4-mapped: the socket interface would send IPv4
)
"""Nobody has a use for these; no allow list opens them."""

OTHER: Final = _networks(
    "169.254.0.0/16",  # link-local: cloud metadata lives here
    "192.0.0.0/24",
    "192.88.99.0/24",  # 6to4 relay anycast
    "240.0.0.0/4",
    "::/3",  # outside of global unicast: loopback, NAT64 (64:ff9b::/96 and 64:ff9b:1::/48), discard, IPv4-compatible
    "4000::/2",
    "8000::/1",  # ... with unique local, link-local, site-local and multicast
    "2001::/23",  # IETF assignments, Teredo among them
    "2002::/16",  # 6to4
)

_IN_THE_LAST_BYTES: Final = tuple(
    ipaddress.IPv6Network(text)
    for text in (
        "::/96",  # IPv4-compatible
        "::ffff:0:0:0/96",  # IPv4-translated (RFC 2765)
        "64:ff9b::/96",
        "64:ff9b:1::/48",
    )
)
_LOCAL_NAT64: Final = ipaddress.IPv6Network("64:ff9b:1::/48")
_LOCAL_NAT64_PLACES: Final = ((6, 7, 9, 10), (7, 9, 10, 11), (9, 10, 11, 12))
"""Where a prefix of 48, 56 or 64 bits puts the address: byte 8 stays empty. Source: RFC 6052 section 2.2."""
_ISATAP_INTERFACES: Final = (b"\x00\x00\x5e\xfe", b"\x02\x00\x5e\xfe")


def embedded_ipv4(address: IPAddress) -> tuple[ipaddress.IPv4Address, ...]:
    """Find the IPv4 addresses that data to an IPv6 address may end up at.

    Mapped and compatible (RFC 4291), translated (RFC 2765), NAT64 (RFC 6052, and RFC 8215 in all its layouts), 6to4
    (RFC 3056), Teredo's server and client (RFC 4380) and ISATAP (RFC 5214).

    Args:
        address: Any address; an IPv4 address has none embedded.
    """
    if address.version == 4:
        return ()
    found = []
    packed = address.packed
    if address.ipv4_mapped is not None:
        found.append(address.ipv4_mapped)
    is_behind_prefix = any(address in network for network in _IN_THE_LAST_BYTES) and not address.is_loopback
    if is_behind_prefix or packed[8:12] in _ISATAP_INTERFACES:
        found.append(ipaddress.IPv4Address(packed[12:]))
    if address in _LOCAL_NAT64:
        layouts = (bytes(packed[at] for at in places) for places in _LOCAL_NAT64_PLACES)
        found.extend(map(ipaddress.IPv4Address, layouts))
    if address.sixtofour is not None:
        found.append(address.sixtofour)
    if address.teredo is not None:
        found.extend(address.teredo)
    return tuple(found)
