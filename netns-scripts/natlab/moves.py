"""Hosts that go from one router to another, programs that sleep, routers that get another address."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

from .builder import host_commands
from .errors import LabError
from .namespaces import NAMESPACE_FOLDER
from .plan import RouterPlan
from .topology import MAX_HOSTS, Router

# A LAN has addresses for this many hosts that are not its own; one with public addresses for less.
_GUESTS: Final = 12
_ASLEEP: Final = "asleep"


class Home(NamedTuple):
    """Where a host is.

    Attributes:
        router: The router of its LAN.
        index: Which host of that LAN it is, from 0.
        device: Its interface there.
    """

    router: str
    index: int
    device: str


def free_place(router: Router, plan: RouterPlan, taken: Iterable[Home], *, device: str) -> Home:
    """Find a place in a LAN for a guest.

    Args:
        router: The router of the LAN.
        plan: Its addresses.
        taken: Where the other guests of the lab are.
        device: The guest's interface.

    Raises:
        LabError: There is none left.
    """
    used = {home.index for home in taken if home.router == router.name}
    # The last address of a /28 is the broadcast's.
    last = router.hosts + _GUESTS if plan.lan_prefix == 24 else MAX_HOSTS + 1
    for index in range(router.hosts, last):
        if index not in used:
            return Home(router.name, index, device)
    raise LabError(f"the LAN of router {router.name} is full", "Take one with fewer hosts.")


def leave_commands(home: Home, *, guest: bool, keep: bool) -> list[str]:
    """Write the ``ip`` commands by which a host leaves a LAN.

    Args:
        home: Where it is.
        guest: Whether it is a guest there: then its interface goes away.
        keep: Whether it stays, as one that has Wi-Fi and mobile both: only its default route goes elsewhere.
    """
    if keep:
        return []
    if guest:
        return [f"link del dev {home.device}"]
    return [f"addr flush dev {home.device}", f"link set dev {home.device} down"]


def arrive_commands(home: Home, plan: RouterPlan, family: str) -> list[str]:
    """Write the ``ip`` commands by which a host gets its addresses and its default route in a LAN.

    Args:
        home: Where it is from now on.
        plan: The addresses there.
        family: The addresses it gets, as in `natlab.topology`.
    """
    return [f"link set dev {home.device} up", *host_commands(plan, home.index, home.device, family)]


def readdress_commands(router: str, plan: RouterPlan, old: str, new: str) -> tuple[list[str], list[str]]:
    """Write the ``ip`` commands that give a router another outside IPv4 address.

    Args:
        router: Its name.
        plan: Its addresses.
        old: The address it has.
        new: The address it gets.

    Returns:
        Those for the router, and those for the internet.
    """

    def length(address: str) -> int:
        return plan.wan_prefix if address == plan.wan else 32

    inside = [
        f"addr del {old}/{length(old)} dev wan",
        f"addr add {new}/{length(new)} dev wan",
        f"route replace {plan.gateway} dev wan",
        f"route replace default via {plan.gateway} dev wan onlink",
    ]
    outside = [
        f"route replace {new}/32 dev {router}",
        f"route replace 203.0.113.{16 * plan.number}/28 via {new} dev {router} onlink",
    ]
    return inside, outside


def sleep_rules(*, asleep: bool) -> str:
    """Write the nft rules of a host that sleeps, and hears nothing, or of one that is awake."""
    rules = f"table inet {_ASLEEP} {{\n}}\ndelete table inet {_ASLEEP}\n"
    if asleep:
        rules += (
            f"table inet {_ASLEEP} {{\n\tchain deaf {{\n"
            "\t\ttype filter hook prerouting priority -500; policy drop;\n"
            # Programs asleep do not hear each other either, but nothing between them is lost: it waits.
            '\t\tiifname "lo" accept;\n\t}\n}\n'
        )
    return rules


def signal_programs(namespace: str, number: signal.Signals) -> int:
    """Send a signal to every program in a namespace, but to this one.

    Returns:
        How many there are.
    """
    wanted = (NAMESPACE_FOLDER / namespace).stat()
    found = 0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        # It may end while we look, and kernel threads have no namespace to show.
        with contextlib.suppress(OSError):
            seen = (entry / "ns" / "net").stat()
            if (seen.st_dev, seen.st_ino) == (wanted.st_dev, wanted.st_ino):
                os.kill(int(entry.name), number)
                found += 1
    return found
