"""Telling one network from another, so that what was learned of a NAT is remembered for the right one."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from p2p.gather.interfaces import NetworkState

_ARP_TABLE: Final = Path("/proc/net/arp")
_ARP_COLUMNS: Final = 6
_ARP_COMPLETE: Final = 0x2
_NEIGHBOURHOOD_BITS: Final = 24
_KEY_CHARACTERS: Final = 32


def network_key(state: NetworkState, hardware: Mapping[str, str]) -> str | None:
    """Name the network that this host is in.

    The router's hardware address tells networks with the same addresses apart, as those of most homes are. Where it is
    not known, the addresses have to do; a wrong match costs little, since what is remembered is checked at once.

    Args:
        state: Where this host is.
        hardware: Hardware addresses by IPv4 address, as ``neighbours`` reads them.

    Returns:
        A name that shows none of what it was made from; None without a way out.
    """
    gateways = [entry.partition(" ") for entry in state.way_out if " " in entry]
    parts = [f"{gateway} {interface} {hardware[gateway]}" for gateway, _, interface in gateways if gateway in hardware]
    if not parts:
        sources = [entry for entry in state.way_out if " " not in entry]
        parts = [f"{gateway} {interface}" for gateway, _, interface in gateways] + [*_neighbourhoods(sources)]
    if not parts:
        return None
    return hashlib.sha256("\n".join(sorted(parts)).encode()).hexdigest()[:_KEY_CHARACTERS]


def neighbours(table: Path = _ARP_TABLE) -> dict[str, str]:
    """Read which hardware address each IPv4 neighbour has; nothing where the system does not tell.

    Args:
        table: In the format of Linux.
    """
    try:
        lines = table.read_text(encoding="ascii", errors="replace").splitlines()[1:]
    except OSError:
        return {}
    found = {}
    for line in lines:
        columns = line.split()
        if len(columns) == _ARP_COLUMNS and columns[2].startswith("0x") and _is_complete(columns[2]):
            found[columns[0]] = columns[3]
    return found


def _is_complete(flags: str) -> bool:
    try:
        return bool(int(flags, 16) & _ARP_COMPLETE)
    except ValueError:
        return False


def _neighbourhoods(sources: Iterable[str]) -> Iterable[str]:
    """The first bits of our own IPv4 addresses: the rest changes with every lease, and IPv6 ones with the hour."""
    for source in sources:
        address = ipaddress.ip_address(source)
        if address.version == 4:
            yield str(ipaddress.ip_network((int(address), _NEIGHBOURHOOD_BITS), strict=False))
