"""Count what routers send to each other: UDP on its way through the internet that does not go to the server."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final

from .lab import Lab
from .plan import INTERNET, SERVER
from .tools import load_rules

_TABLE: Final = "peers"


def count_peer_packets(lab: Lab) -> None:
    """Begin to count, for every router on the internet itself.

    Raises:
        LabError: nft refused the rules.
    """
    routers = [router.name for router in lab.topology.routers if router.uplink is None]
    load_rules(_rules(routers), namespace=lab.namespace(INTERNET))


def _rules(routers: Iterable[str]) -> str:
    rules = "".join(f'\t\tiifname "{r}" oifname != "{SERVER}" meta l4proto udp counter name "{r}"\n' for r in routers)
    counters = "".join(f"\tcounter {router} {{\n\t}}\n" for router in routers)
    return (
        f"table inet {_TABLE} {{\n{counters}\tchain forward {{\n"
        f"\t\ttype filter hook forward priority -10; policy accept;\n{rules}\t}}\n}}\n"
    )


def peer_packets(lab: Lab) -> int:
    """The packets of all routers since the count began."""
    result = lab.run(INTERNET, ["nft", "-j", "list", "counters", "table", "inet", _TABLE])
    found = (entry.get("counter") for entry in json.loads(result.stdout)["nftables"])
    return sum(int(counter["packets"]) for counter in found if counter is not None)
