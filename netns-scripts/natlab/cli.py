"""The command line of the lab: parses, calls, and turns errors into a sentence and an exit code."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

from .errors import LabError
from .flags import comma_list
from .kinds import KINDS
from .shapes import load_shape, parse_duration_s, parse_loss, parse_rate_bps


def _parser(asked: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lab", description="Routers and hosts out of network namespaces, on this machine, for tests."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    up = commands.add_parser("up", help="build a lab")
    up.add_argument("topology", help="a TOML file, or a name in netns-scripts/topologies")
    up.add_argument("--prefix", help="what its namespaces' names start with (default: the topology's name)")

    execute = commands.add_parser("exec", help="run a command on a host or a router")
    execute.add_argument("prefix")
    execute.add_argument("host", help="such as a1, or srv, inet, or a router's name")
    execute.add_argument("argv", nargs=argparse.REMAINDER, metavar="-- CMD...")

    down = commands.add_parser("down", help="take a lab down; no such lab is no error")
    down.add_argument("prefix")

    commands.add_parser("list", help="show the labs that are up")

    for name, text in (
        ("reboot", "let a router forget every session and mapping"),
        ("readdress", "give a router another public IPv4 address"),
        ("link", "show or change the shape of a router's uplink"),
        ("cut", "drop a router's traffic on its way through the internet"),
        ("restore", "undo `cut`"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("prefix")
        command.add_argument("router")
        if name == "readdress":
            command.add_argument("address", nargs="?", help="default: a spare one, and back to the first one")
        elif name == "link":
            command.add_argument("--profile", help="a name in netns-scripts/links; the other flags change it")
            command.add_argument("--delay", type=parse_duration_s, help="one way, such as 20ms")
            command.add_argument("--jitter", type=parse_duration_s, help="at most this much more, such as 2ms")
            command.add_argument("--loss", type=parse_loss, help="such as 1%%")
            command.add_argument("--rate", type=parse_rate_bps, help="such as 50mbit; 0 for no limit")
        elif name == "cut":
            what = command.add_mutually_exclusive_group()
            what.add_argument(
                "--udp-peer", action="store_true", help="only UDP to other routers: the server is still reached"
            )
            what.add_argument("--server", action="store_true", help="only traffic with the server")

    move = commands.add_parser("move", help="let a host go to another router's LAN")
    move.add_argument("prefix")
    move.add_argument("host")
    move.add_argument("router")
    move.add_argument("--keep", action="store_true", help="with its old interface; only its default route moves")
    for name, text in (("sleep", "stop every program on a host"), ("wake", "undo `sleep`")):
        command = commands.add_parser(name, help=text)
        command.add_argument("prefix")
        command.add_argument("host")

    selftest = commands.add_parser(
        "selftest", help="prove that each kind of router and each modifier does what it says"
    )
    selftest.add_argument("--kinds", type=comma_list, help="only these, such as port,sym")
    selftest.add_argument("--modifiers", type=comma_list, help="only these, such as hairpin,uplink")
    matrix = commands.add_parser("matrix", help="run the real programs in every ordered pair of kinds")
    if asked == "matrix":
        # Only then: its modules double the time that the other commands take to start.
        from .matrix import add_arguments

        add_arguments(matrix)
    demo = commands.add_parser("demo", help="see it work: expose behind one NAT, connect behind another")
    if asked == "demo":
        from .demo import add_arguments as add_demo_arguments

        add_demo_arguments(demo)
    verdicts = commands.add_parser("verdicts", help="run `p2p nat` behind each kind and check what it says")
    if asked == "verdicts":
        from .verdicts import add_arguments as add_verdict_arguments

        add_verdict_arguments(verdicts)
    survive = commands.add_parser("survive", help="break and change the network under a running session")
    if asked == "survive":
        from .survival import add_arguments as add_survival_arguments

        add_survival_arguments(survive)
    return parser


def _show_labs() -> None:
    from .state import known_labs, load_state

    for prefix in known_labs():
        state = load_state(prefix)
        routers = " ".join(
            f"{router.name}({router.kind}{'' if router.uplink is None else ' behind ' + router.uplink}):"
            f"{','.join(router.host_names)}"
            for router in state.topology.routers
        )
        print(f"{prefix}  {routers}")


def _execute(arguments: argparse.Namespace) -> None:
    from .lab import Lab
    from .namespaces import enter_for_good

    command: list[str] = arguments.argv
    if command[:1] == ["--"]:
        command = command[1:]
    if not command:
        raise LabError("there is no command to run", "Write: lab exec P HOST -- CMD...")
    enter_for_good(Lab.attach(arguments.prefix).namespace(arguments.host))
    try:
        os.execvp(command[0], command)  # noqa: S606 - to become that program is what was asked for
    except OSError as error:
        raise LabError(f"cannot run {command[0]}: {error.strerror}") from error


def _disturb(arguments: argparse.Namespace) -> None:
    from .lab import CUT_ALL, CUT_SERVER, CUT_UDP_PEER, Lab

    lab = Lab.attach(arguments.prefix)
    if arguments.command == "move":
        print(lab.move(arguments.host, arguments.router, keep=arguments.keep))
        return
    if arguments.command in ("sleep", "wake"):
        count = lab.sleep(arguments.host) if arguments.command == "sleep" else lab.wake(arguments.host)
        print(f"{arguments.host}: {count} program{'' if count == 1 else 's'}")
        return
    router = arguments.router
    if arguments.command == "reboot":
        lab.reboot(router)
    elif arguments.command == "readdress":
        print(lab.readdress(router, arguments.address))
    elif arguments.command == "restore":
        lab.restore(router)
    elif arguments.command == "cut":
        lab.cut(router, CUT_UDP_PEER if arguments.udp_peer else CUT_SERVER if arguments.server else CUT_ALL)
    else:
        shape = lab.link(router)
        if arguments.profile is not None:
            shape = load_shape(arguments.profile)
        given: dict[str, Any] = {
            "delay_s": arguments.delay,
            "jitter_s": arguments.jitter,
            "loss": arguments.loss,
            "rate_bps": arguments.rate,
        }
        changes = {key: value for key, value in given.items() if value is not None}
        if changes or arguments.profile is not None:
            lab.set_links({router: shape})
            shape = lab.set_link(router, **changes)
        rate = f"{shape.rate_bps / 1e6:g} Mbit/s" if shape.rate_bps else "not limited"
        print(
            f"{router}: delay {shape.delay_s * 1e3:g} ms, jitter {shape.jitter_s * 1e3:g} ms,"
            f" loss {shape.loss:.3%}, rate {rate}"
        )


def _run(arguments: argparse.Namespace) -> int:
    if arguments.command == "list":
        _show_labs()
    elif arguments.command == "exec":
        _execute(arguments)
    elif arguments.command == "up":
        from .lab import Lab
        from .topology import load_topology

        lab = Lab.up(load_topology(arguments.topology), prefix=arguments.prefix)
        print(lab.prefix)
    elif arguments.command == "down":
        from .lab import Lab
        from .state import known_labs

        if arguments.prefix in known_labs():
            Lab.attach(arguments.prefix).down()
    elif arguments.command == "selftest":
        from .modifiers import MODIFIERS
        from .selftest import run_selftest

        kinds, modifiers = arguments.kinds, arguments.modifiers
        if kinds is None and modifiers is None:
            kinds, modifiers = tuple(KINDS), tuple(modifier.name for modifier in MODIFIERS)
        return run_selftest(kinds or (), modifiers or ())
    elif arguments.command == "matrix":
        from .matrix import run_matrix

        return run_matrix(arguments)
    elif arguments.command == "demo":
        from .demo import run_demo

        return run_demo(arguments)
    elif arguments.command == "verdicts":
        from .verdicts import run_verdicts

        return run_verdicts(arguments)
    elif arguments.command == "survive":
        from .survival import run_survival

        return run_survival(arguments)
    else:
        _disturb(arguments)
    return 0


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: Its arguments; those of this process where not given.

    Returns:
        The exit code: 0 for success, 1 for a test that failed, 2 for what could not be done, 130 when interrupted.
    """
    try:
        words = sys.argv[1:] if argv is None else argv
        return _run(_parser(words[0] if words else "").parse_args(words))
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def run() -> None:
    """Be the program ``lab``: one command, with the arguments and the exit code of this process."""
    signal.signal(signal.SIGTERM, _interrupt)
    sys.exit(main())
