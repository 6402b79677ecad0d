"""What a running session survives: networks that break, change and come back, one after the other, under one session.

One bulk transfer and one stream of messages run from the first event to the last. A table says for each event how long
either stood still; what the application would have noticed beyond that, such as a reset, fails the run.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from .cell import wait_for_server
from .errors import LabError
from .kinds import KINDS
from .lab import CUT_UDP_PEER, Lab
from .observed import ObservedProgram, Told
from .plan import SERVER
from .programs import Programs, find_program
from .shapes import LinkShape, parse_duration_s, parse_rate_bps
from .topology import Router, Topology
from .watched import WatchedService, WatchedTraffic

PATH_DEATH_S: Final = 3.0
PLANNED_S: Final = 0.5
_START_S: Final = 30.0
_SETTLE_S: Final = 2.0
# A pair that failed long ago is tried every minute.
_PATH_WITHIN_S: Final = 75.0
_MESSAGES_PER_S: Final = 50.0
_DIRECT: Final = "direct"
_RELAY: Final = "relay"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one event did.

    Attributes:
        event: Its name.
        bound_s: What the two times may be at most; None where an outage is part of it.
        bulk_stall_s: The longest time in which the bulk stood still.
        stream_gap_s: The longest time without a message, on the worse side.
        path: The path afterwards.
        wanted: The path that there should be.
        problem: What an application would have noticed; empty for nothing.
    """

    event: str
    bound_s: float | None
    bulk_stall_s: float
    stream_gap_s: float
    path: str
    wanted: str
    problem: str = ""

    @property
    def is_good(self) -> bool:
        """Whether nothing took longer than it may, and all is as it should be afterwards."""
        within = self.bound_s is None or max(self.bulk_stall_s, self.stream_gap_s) <= self.bound_s
        return within and self.path == self.wanted and not self.problem


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happens.

    Attributes:
        name: What to call it.
        act: Does it; returns since when the clock runs, None for since before.
        wanted: The path that there should be afterwards.
        bound_s: See ``Outcome``.
        linger_s: How long to watch at least.
    """

    name: str
    act: Callable[[Survival], float | None]
    wanted: str = _DIRECT
    bound_s: float | None = PATH_DEATH_S
    linger_s: float = 6.0


class Survival:
    """A session in a lab with two homes and a third router, with traffic on it.

    Args:
        lab: With routers ``d``, ``e`` and ``x``.
        folder: For the programs' files.
        stack: Ends everything.
        command: What the programs' command lines begin with.
        flags: More flags for them.
    """

    def __init__(
        self, lab: Lab, folder: Path, stack: ExitStack, *, command: tuple[str, ...], flags: tuple[str, ...] = ()
    ) -> None:
        self.lab = lab
        self.stop = threading.Event()
        self._stack = stack
        self._programs = Programs(command, folder, flags)
        self._servers = 0
        self.start_server()
        self._service = stack.enter_context(WatchedService(lambda: lab.entered("e1")))
        self.exposer = self._start("e1", "expose", self._programs.expose(self._service.port))
        self._ticket = str(self.exposer.require("ready", within_s=_START_S).values["ticket"])

    def dial(self) -> None:
        """Connect, and start the traffic."""
        self.dialer = self._start("d1", "connect", self._programs.connect(self._ticket))
        listening = self.dialer.require("listening", within_s=_START_S)
        self.dialer.require("connected", within_s=_START_S)
        port = int(str(listening.values["address"]).rpartition(":")[2])
        self.traffic = WatchedTraffic(lambda: self.lab.entered("d1"), port, self._service, rate=_MESSAGES_PER_S)
        self._stack.callback(self.traffic.close)

    def start_server(self) -> None:
        """Start rendezvous and relay, and wait until they are there."""
        self._servers += 1
        self.server = self._start(SERVER, f"serve-{self._servers}", self._programs.serve())
        wait_for_server(self.lab, self.server, self.stop)

    @property
    def path(self) -> str:
        """The path that the dialer told last."""
        return _last_path(self.dialer.told)

    def run(self, event: Event) -> Outcome:
        """Let one event happen, and watch what it does."""
        before_at = time.monotonic()
        since = event.act(self) or before_at
        self._watch(lambda: time.monotonic() >= since + event.linger_s)
        self._watch(lambda: self.path == event.wanted)
        settled_at = time.monotonic() + _SETTLE_S
        self._watch(lambda: time.monotonic() >= settled_at)
        now = time.monotonic()
        problems = [*self.traffic.problems, *self._lost_sessions()]
        return Outcome(
            event.name,
            event.bound_s,
            round(self.traffic.bulk_stall_s(since, now), 2),
            round(self.traffic.stream_gap_s(since, now), 2),
            self.path,
            event.wanted,
            "; ".join(problems),
        )

    def ip(self, host: str, *commands: str) -> None:
        """Run `ip` on a host."""
        for command in commands:
            self.lab.run(host, ["ip", *command.split()])

    def _lost_sessions(self) -> list[str]:
        programs = {"dialer": self.dialer, "exposer": self.exposer}
        return [
            f"the {side} lost its session"
            for side, program in programs.items()
            if any(told.event == "session_closed" for told in program.told)
        ]

    def _watch(self, condition: Callable[[], bool]) -> None:
        """Wait for something while all goes well, but not for ever."""
        until = time.monotonic() + _PATH_WITHIN_S
        while not condition() and time.monotonic() < until and not self.traffic.problems:
            time.sleep(0.05)

    def _start(self, host: str, name: str, command: list[str]) -> ObservedProgram:
        program = ObservedProgram.of(self._programs, self.lab, host, name, command, stop=self.stop)
        return self._stack.enter_context(program)


def _last_path(told: Sequence[Told]) -> str:
    paths = [str(line.values.get("path")) for line in told if line.event in ("path", "connected")]
    return paths[-1] if paths else ""


# --- what happens ------------------------------------------------------------------------------------------


def _cut(play: Survival) -> None:
    play.lab.cut("d", CUT_UDP_PEER)


def _restore(play: Survival) -> None:
    play.lab.restore("d")


def _reboot(*routers: str) -> Callable[[Survival], None]:
    def act(play: Survival) -> None:
        for router in routers:
            play.lab.reboot(router)

    return act


def _readdress(*routers: str) -> Callable[[Survival], None]:
    def act(play: Survival) -> None:
        for router in routers:
            play.lab.readdress(router)

    return act


def _new_host_address(*hosts: str) -> Callable[[Survival], None]:
    """Give hosts another address of their networks, as another DHCP server would."""

    def act(play: Survival) -> None:
        for host in hosts:
            old = play.lab.address(host)
            network = old.rpartition(".")[0]
            play.ip(
                host,
                f"addr del {old}/24 dev eth0",
                f"addr add {network}.77/24 dev eth0",
                f"route add default via {network}.1",
            )

    return act


def _move(router: str, *, keep: bool) -> Callable[[Survival], None]:
    """Let the dialer's host go out by another router: with both networks up, or after it has left the first."""

    def act(play: Survival) -> None:
        play.lab.move("d1", router, keep=keep)

    return act


def _restart_server(play: Survival) -> None:
    play.server.kill()
    time.sleep(3.0)
    play.start_server()


def _sleep(duration_s: float, *hosts: str) -> Callable[[Survival], float]:
    """Stop hosts for a while; the clock runs from their waking."""

    def act(play: Survival) -> float:
        for host in hosts:
            play.lab.sleep(host)
        try:
            time.sleep(duration_s)
        finally:
            for host in hosts:
                play.lab.wake(host)
        return time.monotonic()

    return act


def events(sleep_s: float) -> tuple[Event, ...]:
    """Everything that happens, in order.

    Args:
        sleep_s: How long a program sleeps.
    """
    return (
        Event("relay, then direct", _restore, bound_s=PLANNED_S),
        Event("direct path cut", _cut, wanted=_RELAY),
        Event("direct path restored", _restore, bound_s=PLANNED_S),
        Event("dialer's NAT reboots", _reboot("d")),
        Event("exposer's NAT reboots", _reboot("e")),
        Event("both NATs reboot", _reboot("d", "e")),
        Event("dialer's NAT: other address", _readdress("d")),
        Event("exposer's NAT: other address", _readdress("e")),
        Event("both NATs: other addresses", _readdress("d", "e")),
        Event("dialer's host moves, both links up", _move("x", keep=True), bound_s=PLANNED_S),
        Event("dialer's host moves back", _move("d", keep=True), bound_s=PLANNED_S),
        Event("dialer's host leaves for another", _move("x", keep=False)),
        Event("dialer's host returns", _move("d", keep=False)),
        Event("dialer's host: other address", _new_host_address("d1"), bound_s=PLANNED_S),
        Event("exposer's host: other address", _new_host_address("e1"), bound_s=PLANNED_S),
        # So long that all are logged in again: until then the relay is no way out for whatever comes next.
        Event("server restarts", _restart_server, bound_s=PLANNED_S, linger_s=30.0),
        Event("direct path cut again", _cut, wanted=_RELAY),
        Event("server restarts, on the relay", _restart_server, wanted=_RELAY, bound_s=None, linger_s=10.0),
        Event("direct path restored again", _restore, bound_s=PLANNED_S),
        Event(f"dialer sleeps {sleep_s:g} s", _sleep(sleep_s, "d1"), linger_s=10.0),
        Event(f"exposer sleeps {sleep_s:g} s", _sleep(sleep_s, "e1"), linger_s=10.0),
        Event(f"both sleep {sleep_s:g} s", _sleep(sleep_s, "d1", "e1"), linger_s=10.0),
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of `lab survive`."""
    parser.add_argument("--size", type=int, default=200, metavar="MB", help="least size of the bulk (default: 200)")
    parser.add_argument("--delay", type=parse_duration_s, default=0.02, help="one way, each side (default: 20ms)")
    parser.add_argument("--rate", type=parse_rate_bps, default=20_000_000, help="of every uplink (default: 20mbit)")
    parser.add_argument("--sleep", type=parse_duration_s, default=90.0, help="of a program (default: 90s)")
    parser.add_argument("--dialer", choices=tuple(KINDS), default="port", help="its router (default: port)")
    parser.add_argument("--exposer", choices=tuple(KINDS), default="port", help="its router (default: port)")
    parser.add_argument("--only", metavar="TEXT", help="only events with this in their names, and the first one")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the outcomes there")
    parser.add_argument("--keep-logs", type=Path, metavar="FOLDER", help="keep what the programs wrote")
    parser.add_argument("--flag", action="append", default=[], help="one more flag for expose and connect; repeat")
    parser.add_argument("--p2p", help="the program to run (default: the repository's own)")
    parser.add_argument("--check", action="store_true", help="exit code 1 when anything is not as it should be")


def run_survival(arguments: argparse.Namespace) -> int:
    """Run all events over one session and print the table.

    Returns:
        The exit code: with ``--check`` 1 when anything was not as it should be.

    Raises:
        LabError: The session did not come about.
    """
    folder = Path(tempfile.mkdtemp(prefix="p2p-survive-"))
    link = LinkShape(delay_s=arguments.delay, rate_bps=arguments.rate)
    chosen = [event for event in events(arguments.sleep) if arguments.only is None or arguments.only in event.name]
    topology = Topology(
        name="survive",
        ipv6=False,
        routers=(
            Router(name="d", kind=arguments.dialer, link=link),
            Router(name="e", kind=arguments.exposer, link=link),
            Router(name="x", kind="port", link=link),
        ),
    )
    command = find_program() if arguments.p2p is None else tuple(arguments.p2p.split())
    try:
        with Lab.up(topology, prefix=f"survive{os.getpid()}") as lab:
            outcomes = play_events(
                lab, folder, chosen, command=command, flags=tuple(arguments.flag), size=arguments.size * 1_000_000
            )
    finally:
        if arguments.keep_logs is not None:
            shutil.copytree(folder, arguments.keep_logs, dirs_exist_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps({"events": [asdict(outcome) for outcome in outcomes]}, indent=1))
    return 1 if arguments.check and not all(outcome.is_good for outcome in outcomes) else 0


def play_events(
    lab: Lab,
    folder: Path,
    chosen: Sequence[Event],
    *,
    command: tuple[str, ...],
    size: int,
    flags: tuple[str, ...] = (),
) -> list[Outcome]:
    """Run events over one session that begins on the relay, and print a line for each.

    Args:
        lab: With routers ``d``, ``e`` and ``x``.
        folder: For the programs' files.
        chosen: What happens, after the way from the relay to the direct path.
        command: What the programs' command lines begin with.
        size: Bytes that the bulk moves at least.
        flags: More flags for them.

    Returns:
        What each event did; the last one is the end of the transfer.

    Raises:
        LabError: The session did not come about.
    """
    outcomes = []
    with ExitStack() as stack:
        play = Survival(lab, folder, stack, command=command, flags=flags)
        lab.cut("d", CUT_UDP_PEER)
        play.dial()
        time.sleep(_SETTLE_S)
        if play.path != _RELAY:
            raise LabError(f"the session began on the {play.path} path, not on the relay")
        print(f"{'event':36} {'bound':>6} {'bulk stall':>11} {'stream gap':>11}  path after")
        start = next(iter(events(0.0)))
        for event in [start, *(event for event in chosen if event.name != start.name)]:
            outcomes.append(play.run(event))
            _print(outcomes[-1])
            if play.traffic.problems:
                break
        play.traffic.finish(least_bytes=size)
        name = f"the end, {play.traffic.bulk_bytes / 1e6:.0f} MB, sha256"
        end = Outcome(name, None, 0.0, 0.0, play.path, play.path, "; ".join(play.traffic.problems))
        outcomes.append(end)
        _print(end)
    return outcomes


def _print(outcome: Outcome) -> None:
    bound = "-" if outcome.bound_s is None else f"{outcome.bound_s:.1f}"
    verdict = "" if outcome.is_good else f"  NOT AS IT SHOULD BE {outcome.problem}"
    print(
        f"{outcome.event:36} {bound:>6} {outcome.bulk_stall_s:>11.2f} {outcome.stream_gap_s:>11.2f}  "
        f"{outcome.path}{verdict}",
        flush=True,
    )
