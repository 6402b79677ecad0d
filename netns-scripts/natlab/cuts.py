"""Drop a router's traffic on its way through the internet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .plan import SERVER

CUT_ALL: Final = "all"
CUT_UDP_PEER: Final = "udp-peer"
CUT_SERVER: Final = "server"


def cut_table(cuts: Mapping[str, str]) -> str:
    """Write the nft table that drops what is cut, in place of the one there was.

    Args:
        cuts: For each router what of its traffic to drop, one of the constants above.
    """
    rules = []
    for router, what in cuts.items():
        out, back = f'iifname "{router}"', f'oifname "{router}"'
        if what == CUT_ALL:
            rules += [f"{out} drop", f"{back} drop"]
        elif what == CUT_UDP_PEER:
            rules += [
                f'{out} oifname != "{SERVER}" meta l4proto udp drop',
                f'{back} iifname != "{SERVER}" meta l4proto udp drop',
            ]
        else:
            rules += [f'{out} oifname "{SERVER}" drop', f'{back} iifname "{SERVER}" drop']
    body = "".join(f"\t\t{rule}\n" for rule in rules)
    return (
        "table inet cut {\n}\ndelete table inet cut\n"
        "table inet cut {\n\tchain forward {\n\t\ttype filter hook forward priority 0; policy accept;\n"
        f"{body}\t}}\n}}\n"
    )
