"""Run ``p2p nat`` behind each kind of router, many times, and compare its verdicts with what the kind does."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from .cell import wait_for_server
from .errors import LabError
from .expected_verdict import wrong_and_unknown
from .flags import comma_list
from .kinds import KINDS, Kind, kind_named
from .lab import Lab
from .namespaces import require_root
from .observed import ObservedProgram
from .plan import SERVER, SERVER_ADDRESSES
from .programs import RENDEZVOUS_URL, Programs, find_program
from .shapes import LinkShape, parse_duration_s, parse_loss
from .tables import format_table
from .topology import Router, Topology

_ROUTER: Final = "r"
_EXAMINER: Final = "r1"
_OTHER_HOST: Final = "r2"
# The slowest examination waits for a silent relay.
_LONGEST_RUN_S: Final = 15.0
_DISCARD_PORT: Final = 9
_COMPLAINTS_SHOWN: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What to run.

    Attributes:
        kind: The router.
        runs: How many examinations.
        hairpin: Whether the router returns what is sent to its own outside addresses.
        busy_per_s: Mappings a second that another host behind the router makes meanwhile.
        link: The shape of its uplink.
        command: What the programs' command lines begin with.
        flags: More flags for ``p2p nat``.
    """

    kind: Kind
    runs: int
    hairpin: bool
    busy_per_s: float
    link: LinkShape
    command: tuple[str, ...]
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of it.

    Attributes:
        kind: The router.
        runs: Examinations that ended with a report.
        wrong: Sentences on what was wrong, with how often.
        unknown: What was not known though it can be found out, with how often.
        classic: The second opinions, with how often.
        took_s: Of the median examination.
    """

    kind: str
    runs: int
    wrong: Mapping[str, int]
    unknown: Mapping[str, int]
    classic: Mapping[str, int]
    took_s: float

    @property
    def is_right(self) -> bool:
        """Whether there was neither a wrong verdict nor one missing."""
        return not self.wrong and not self.unknown


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's flags."""
    parser.add_argument("--kinds", type=comma_list, default=tuple(KINDS), help="such as port,sym")
    parser.add_argument("--runs", type=int, default=10, help="examinations of each kind (default: 10)")
    parser.add_argument("--jobs", type=int, default=1, help="kinds at a time (default: 1)")
    parser.add_argument("--delay", type=parse_duration_s, default=0.0, help="of the uplink, one way, such as 20ms")
    parser.add_argument("--loss", type=parse_loss, default=0.0, help="of the uplink, each way, such as 1%%")
    parser.add_argument("--hairpin", action="store_true", help="routers return what is sent to their outside address")
    parser.add_argument(
        "--busy", type=float, default=0.0, metavar="N", help="another host makes N mappings a second meanwhile"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there")
    parser.add_argument("--p2p", type=shlex.split, metavar="COMMAND", help="the program to run (default: p2p)")
    parser.add_argument("--flag", action="append", default=[], metavar="FLAG", help="one more flag for p2p nat")


def run_verdicts(arguments: argparse.Namespace) -> int:
    """Run the command.

    Args:
        arguments: As `add_arguments` declares them.

    Returns:
        The exit code: 1 when a verdict is wrong or missing, else 0.

    Raises:
        LabError: A flag is wrong, or a program does not run.
    """
    require_root()
    if arguments.runs < 1 or arguments.jobs < 1:
        raise LabError("--runs and --jobs are at least 1")
    cases = [
        Case(
            kind=kind_named(name),
            runs=arguments.runs,
            hairpin=arguments.hairpin,
            busy_per_s=arguments.busy,
            link=LinkShape(delay_s=arguments.delay, loss=arguments.loss),
            command=tuple(arguments.p2p) if arguments.p2p else find_program(),
            flags=tuple(arguments.flag),
        )
        for name in arguments.kinds
    ]
    stop = threading.Event()
    with ThreadPoolExecutor(max_workers=arguments.jobs) as pool:
        running = [
            pool.submit(run_case, case, prefix=f"v{os.getpid()}n{number}", stop=stop)
            for number, case in enumerate(cases)
        ]
        try:
            outcomes = []
            for future in running:
                outcomes.append(future.result())
                print(_line(outcomes[-1]), file=sys.stderr, flush=True)
        except BaseException:
            # Cases that run take their own labs down; the pool waits for them.
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    _print(outcomes)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps({"kinds": [_to_json(outcome) for outcome in outcomes]}, indent=1) + "\n")
    return 0 if all(outcome.is_right for outcome in outcomes) else 1


def run_case(case: Case, *, prefix: str, stop: threading.Event) -> Outcome:
    """Examine one kind of router in a lab of its own.

    Args:
        case: What to run.
        prefix: The lab's prefix.
        stop: Set when the user wants to stop.

    Raises:
        LabError: The server does not run, or the lab cannot be built.
    """
    router = Router(name=_ROUTER, kind=case.kind.name, hosts=2, hairpin=case.hairpin, link=case.link)
    folder = Path(tempfile.mkdtemp(prefix="p2p-verdicts-"))
    try:
        with Lab.up(Topology(name="verdicts", routers=(router,)), prefix=prefix) as lab:
            programs = Programs(case.command, folder, ipv6=lab.topology.ipv6)
            with ObservedProgram.of(programs, lab, SERVER, "serve", programs.serve(), stop=stop) as server:
                wait_for_server(lab, server, stop)
                with _busy(lab, case.busy_per_s):
                    reports = list(_reports(lab, case, programs, stop))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return _judge(case, reports)


def _reports(
    lab: Lab, case: Case, programs: Programs, stop: threading.Event
) -> Iterator[tuple[float, Mapping[str, Any]]]:
    """Run the program, and give each of its reports with how long it took."""
    command = [*case.command, "nat", "--json", "--rendezvous", RENDEZVOUS_URL, "--repeat", str(case.runs), *case.flags]
    with (programs.folder / "nat.log").open("ab") as errors:
        process = lab.popen(
            _EXAMINER,
            command,
            env=programs.environment("nat"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    watchdog = threading.Timer(case.runs * _LONGEST_RUN_S, process.kill)
    watchdog.start()
    try:
        assert process.stdout is not None
        began_at = time.monotonic()
        for line in process.stdout:
            now = time.monotonic()
            yield now - began_at, json.loads(line)
            began_at = now
            if stop.is_set():
                return
    finally:
        watchdog.cancel()
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


@contextmanager
def _busy(lab: Lab, per_s: float) -> Iterator[None]:
    """Have another host make mappings, each from a socket of its own."""
    if not per_s:
        yield
        return
    over = threading.Event()

    def work() -> None:
        while not over.wait(1 / per_s):
            with lab.entered(_OTHER_HOST), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
                udp.sendto(b"", (SERVER_ADDRESSES[0], _DISCARD_PORT))

    worker = threading.Thread(target=work, name="busy host")
    worker.start()
    try:
        yield
    finally:
        over.set()
        worker.join()


def _judge(case: Case, reports: Sequence[tuple[float, Mapping[str, Any]]]) -> Outcome:
    wrong: Counter[str] = Counter()
    unknown: Counter[str] = Counter()
    for _, report in reports:
        bad, missing = wrong_and_unknown(case.kind, report, hairpin=case.hairpin)
        wrong.update(bad)
        unknown.update(missing)
    if len(reports) < case.runs:
        wrong["no report"] += case.runs - len(reports)
    return Outcome(
        kind=case.kind.name,
        runs=len(reports),
        wrong=wrong,
        unknown=unknown,
        classic=Counter(str(report.get("classic_name")) for _, report in reports),
        took_s=statistics.median(took_s for took_s, _ in reports) if reports else 0.0,
    )


def _line(outcome: Outcome) -> str:
    state = "all right" if outcome.is_right else f"{sum(outcome.wrong.values())} wrong"
    return f"{outcome.kind}: {outcome.runs} runs, {state}"


def _print(outcomes: Sequence[Outcome]) -> None:
    rows = [
        (
            outcome.kind,
            str(outcome.runs),
            str(sum(outcome.wrong.values())),
            str(sum(outcome.unknown.values())),
            f"{outcome.took_s:.2f}",
            ", ".join(f"{name} {count}" for name, count in outcome.classic.items()),
            "ok" if outcome.is_right else "",
        )
        for outcome in outcomes
    ]
    print(format_table(("kind", "runs", "wrong", "unknown", "median s", "second opinion", ""), rows))
    for outcome in outcomes:
        for word, counted in (("WRONG", outcome.wrong), ("UNKNOWN", outcome.unknown)):
            for text, count in list(counted.items())[:_COMPLAINTS_SHOWN]:
                print(f"{word}  {outcome.kind}: {text} ({count} times)")


def _to_json(outcome: Outcome) -> dict[str, Any]:
    return {
        "kind": outcome.kind,
        "runs": outcome.runs,
        "wrong": dict(outcome.wrong),
        "unknown": dict(outcome.unknown),
        "classic": dict(outcome.classic),
        "median_s": round(outcome.took_s, 3),
        "right": outcome.is_right,
    }
