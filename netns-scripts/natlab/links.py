"""Shape the routers' uplinks: all of it happens on the internet's side, but a router's own sending rate.

Loss is an nft rule. Delay is netem where the kernel has it, otherwise packets wait in the delay line. Rate is a token
bucket. There, no connection is tracked, so a packet can wait without an unfinished entry in a session table.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping
from typing import Final

from .errors import LabError
from .namespaces import entered
from .nfqueue import append_queue_rule
from .plan import INTERNET, namespace_name
from .shapes import LinkShape
from .tools import load_rules, run_tool

TABLE: Final = "link"
_LOSS_STEPS: Final = 100_000
# netem drops what it cannot hold: a second of full-size packets at 1.2 Gbit/s.
_NETEM_LIMIT_PACKETS: Final = 100_000
# A token bucket sends at most this long at line speed, and holds this much of its rate before it drops.
_BURST_S: Final = 0.004
_LEAST_BURST_BYTES: Final = 16_000
_BUFFER_S: Final = 0.1


def link_table(routers: Iterable[str], turning: Iterable[str]) -> str:
    """Write the nft table that all packets of these routers pass, without any loss or delay yet.

    Args:
        routers: Those on the internet itself.
        turning: Outside addresses of routers that send packets from their hosts to their hosts back in. These take a
            turn around here, but in the world they would not leave the router: they are not delayed and not lost.
    """
    names = tuple(routers)
    turns = "".join(f"\t\tip saddr {address} ip daddr {address} accept\n" for address in turning)
    chains = "".join(
        f"\tchain {router}_{way}_loss {{\n\t}}\n\tchain {router}_{way} {{\n\t\tjump {router}_{way}_loss\n\t}}\n"
        for router in names
        for way in ("up", "down")
    )
    up = ", ".join(f'"{router}" : jump {router}_up' for router in names)
    down = ", ".join(f'"{router}" : jump {router}_down' for router in names)
    # Neighbour discovery belongs to the cable, not to the distance.
    spare = "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit } accept"
    return (
        f"table inet {TABLE} {{\n{chains}"
        "\tchain from_routers {\n\t\ttype filter hook prerouting priority -400; policy accept;\n"
        f"\t\t{spare}\n{turns}\t\tiifname vmap {{ {up} }}\n\t}}\n"
        "\tchain to_routers {\n\t\ttype filter hook postrouting priority 400; policy accept;\n"
        f"\t\t{spare}\n{turns}\t\toifname vmap {{ {down} }}\n\t}}\n}}\n"
    )


def loss_rules(router: str, shape: LinkShape) -> str:
    """Write the nft commands that give a link its loss, in place of the loss it had."""
    lines = []
    for way in ("up", "down"):
        lines.append(f"flush chain inet {TABLE} {router}_{way}_loss")
        if shape.loss:
            share = round(shape.loss * _LOSS_STEPS)
            lines.append(f"add rule inet {TABLE} {router}_{way}_loss numgen random mod {_LOSS_STEPS} < {share} drop")
    return "".join(f"{line}\n" for line in lines)


def queue_numbers(router_number: int) -> tuple[int, int]:
    """The delay line's queues for a router: what it sends, what it receives."""
    return 2 * router_number, 2 * router_number + 1


def queue_link(prefix: str, router: str, router_number: int) -> None:
    """Put every packet of a link into the delay line's queues from now on; they must exist.

    Raises:
        LabError: The kernel has no packet queues.
    """
    for way, number in zip(("up", "down"), queue_numbers(router_number), strict=True):
        chain = f"{router}_{way}"
        # The older rule language first: where it exists this takes no process.
        try:
            with entered(namespace_name(prefix, INTERNET)):
                append_queue_rule(TABLE, chain, number)
        except OSError:
            rule = f"add rule inet {TABLE} {chain} queue num {number}\n"
            try:
                load_rules(rule, namespace=namespace_name(prefix, INTERNET))
            except LabError as error:
                raise LabError(
                    "this kernel can delay no packet: it has neither netem nor packet queues",
                    "Load the kernel module sch_netem, nft_queue or xt_NFQUEUE.",
                ) from error


def kernel_has_netem(prefix: str) -> bool:
    """Find out whether the kernel has netem, by using it on a loopback interface of the lab."""
    command = ["tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "0"]
    with entered(namespace_name(prefix, INTERNET)):
        if subprocess.run(command, capture_output=True, check=False).returncode:
            return False
        subprocess.run(["tc", "qdisc", "del", "dev", "lo", "root"], capture_output=True, check=False)
    return True


def queueing_commands(device: str, old: LinkShape, new: LinkShape, *, netem: bool) -> str:
    """Write the tc commands that give an interface its rate, and its delay where netem does that.

    Args:
        device: The interface that sends into the link.
        old: The shape it has.
        new: The shape it gets.
        netem: Whether the kernel has netem.
    """
    lines = []
    if old.rate_bps or (netem and old.delays):
        lines.append(f"qdisc del dev {device} root")
    parent = "root"
    if netem and new.delays:
        jitter = f" {_microseconds(new.jitter_s)}" if new.jitter_s else ""
        lines.append(
            f"qdisc add dev {device} root handle 1: netem limit {_NETEM_LIMIT_PACKETS}"
            f" delay {_microseconds(new.delay_s)}{jitter}"
        )
        parent = "parent 1:1"
    if new.rate_bps:
        burst = max(_LEAST_BURST_BYTES, int(new.rate_bps / 8 * _BURST_S))
        lines.append(
            f"qdisc add dev {device} {parent} handle 10: tbf rate {new.rate_bps}bit burst {burst}b"
            f" latency {_microseconds(_BUFFER_S)}"
        )
    return "".join(f"{line}\n" for line in lines)


def _microseconds(duration_s: float) -> str:
    return f"{round(duration_s * 1e6)}us"


def set_queueing(prefix: str, changes: Mapping[str, tuple[LinkShape, LinkShape]], *, netem: bool) -> None:
    """Give links their rate, and their delay where netem does that.

    Args:
        prefix: The lab.
        changes: For each router the shape its uplink has and the one it gets.
        netem: Whether the kernel has netem.

    Raises:
        LabError: tc refused it.
    """
    towards = "".join(queueing_commands(router, *shapes, netem=netem) for router, shapes in changes.items())
    if towards:
        run_tool(["tc", "-batch", "-"], towards, namespace=namespace_name(prefix, INTERNET))
    for router, shapes in changes.items():
        away = queueing_commands("wan", *shapes, netem=netem)
        if away:
            run_tool(["tc", "-batch", "-"], away, namespace=namespace_name(prefix, router))
