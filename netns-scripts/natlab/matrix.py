"""``lab matrix``: the real programs in every ordered pair of kinds, in scenarios, and against targets."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path as FilePath
from typing import Final

from .cell import CellPlan, run_cell
from .errors import LabError
from .expectation import Path
from .flags import comma_list
from .heatmap import heatmap
from .kinds import KINDS
from .namespaces import require_root
from .programs import find_program
from .record import Record, load_record, merged, this_origin
from .results import CellResult, format_list, format_matrix, is_pair, percentiles
from .setups import SCENARIOS, Setup, pair_setup, scenario_setup
from .shapes import parse_duration_s, parse_loss
from .targets import (
    TARGET_RUNS,
    TARGETS,
    Target,
    Verdict,
    format_verdicts,
    judge,
    judge_all,
    target_setups,
    targets_named,
)
from .tools import require_tools

DEFAULT_KINDS: Final = (
    "open", "fw", "full", "addr", "port", "port-np", "linux", "sym", "symseq", "udpblock",
)  # fmt: skip
_ALL: Final = "all"
_STOP_CHECK_S: Final = 0.2
# Where a fifth of all packets is lost on the way, congestion control leaves a few packets a round trip: 128 KiB both
# ways take 7 s, and say no more than this does.
_MOST_BYTES_WITH_LOSS: Final = 1 << 15


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's flags."""

    def pair(text: str) -> tuple[str, str]:
        dialer, _, exposer = text.partition(":")
        return dialer, exposer

    what = parser.add_argument_group("what to run (default: every pair of the usual kinds)")
    what.add_argument("--kinds", type=comma_list, help=f"every pair of these, such as port,sym; all: {','.join(KINDS)}")
    what.add_argument("--pair", type=pair, action="append", metavar="DIALER:EXPOSER", help="this pair; repeat")
    what.add_argument("--scenarios", type=comma_list, help=f"by name, or all: {','.join(SCENARIOS)}")
    what.add_argument(
        "--targets", type=comma_list, nargs="?", const=(_ALL,), help=f"compare with bounds; all, or {','.join(TARGETS)}"
    )
    what.add_argument("--bounds", action="store_true", help="compare every cell with its bounds")
    what.add_argument(
        "--from-json", type=FilePath, nargs="+", metavar="FILE", help="run nothing: show what these files hold together"
    )
    how = parser.add_argument_group("how to run it")
    how.add_argument("--runs", type=int, help=f"sessions for each cell (default 1; {TARGET_RUNS} with --targets)")
    how.add_argument("--delay", type=parse_duration_s, default=0.02, help="one way on each uplink (default 20ms)")
    how.add_argument("--loss", type=parse_loss, default=0.0, help="on each uplink and way, for pairs (default none)")
    how.add_argument("--ipv6", action="store_true", help="give pairs IPv6, by which every two can meet")
    how.add_argument("--size", type=int, default=1 << 20, help="bytes sent each way (default 1 MiB)")
    how.add_argument("--jobs", type=int, default=2, help="labs at a time (default 2)")
    how.add_argument("--deadline", type=parse_duration_s, default=3.0, help="for a path to be final (default 3s)")
    how.add_argument(
        "--hard-deadline", type=parse_duration_s, default=20.0, help="the same where that takes time (default 20s)"
    )
    how.add_argument(
        "--hard", choices=[path.value for path in Path], default="direct", help="what pairs that need a guess must be"
    )
    how.add_argument("--p2p", type=shlex.split, metavar="COMMAND", help="the program to run (default: p2p)")
    how.add_argument(
        "--flag", action="append", default=[], metavar="FLAG", help="one more flag for expose and connect; repeat"
    )
    where = parser.add_argument_group("what to do with the result")
    where.add_argument("--json", type=FilePath, metavar="FILE", help="write what was found, after each cell")
    where.add_argument("--resume", action="store_true", help="run only what the file of --json does not hold yet")
    where.add_argument("--html", type=FilePath, metavar="FILE", help="write a heat map, one page")
    where.add_argument("--check", action="store_true", help="exit with 1 when a cell is not as it must be")
    where.add_argument("--keep-logs", type=FilePath, metavar="FOLDER", help="keep what the programs wrote")


def _setups(arguments: argparse.Namespace, targets: Sequence[Target]) -> list[Setup]:
    """The cells that were asked for, each once."""
    pairs: list[tuple[str, str]] = list(arguments.pair or ())
    kinds = arguments.kinds
    if kinds is None and not pairs and not arguments.scenarios and not targets:
        kinds = DEFAULT_KINDS
    if kinds is not None:
        kinds = tuple(KINDS) if kinds == (_ALL,) else kinds
        pairs += [(dialer, exposer) for dialer in kinds for exposer in kinds]
    scenarios = SCENARIOS if arguments.scenarios == (_ALL,) else arguments.scenarios or ()
    setups = [
        pair_setup(*pair, delay_s=arguments.delay, loss=arguments.loss, ipv6=arguments.ipv6, hard=Path(arguments.hard))
        for pair in pairs
    ]
    setups += [scenario_setup(name, delay_s=arguments.delay) for name in scenarios]
    setups += [setup for target in targets for setup in target_setups(target, delay_s=arguments.delay)]
    return list({setup.key: setup for setup in setups}.values())


def _plan(arguments: argparse.Namespace, setups: Sequence[Setup], record: Record, runs: int) -> list[CellPlan]:
    """What is left to run."""
    command = tuple(arguments.p2p) if arguments.p2p else find_program()
    if arguments.keep_logs is not None:
        arguments.keep_logs.mkdir(parents=True, exist_ok=True)
    plans = [
        CellPlan(
            setup=setup,
            runs=runs - record.sessions(setup.key),
            size=min(arguments.size, _MOST_BYTES_WITH_LOSS) if setup.key.loss else arguments.size,
            deadline_s=arguments.deadline,
            hard_deadline_s=arguments.hard_deadline,
            command=command,
            flags=tuple(arguments.flag),
            keep=arguments.keep_logs,
        )
        for setup in setups
        if record.sessions(setup.key) < runs
    ]
    if plans:
        record.origins.append(this_origin(["lab", *sys.argv[1:]], command))
    return plans


def _run_all(plans: list[CellPlan], jobs: int, record: Record, file: FilePath | None) -> None:
    """Run cells, several at a time, note each, and say on standard error how it goes."""
    stop = threading.Event()
    finished = 0
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        running: set[Future[CellResult]] = {
            pool.submit(run_cell, plan, prefix=f"m{os.getpid()}n{number}", stop=stop)
            for number, plan in enumerate(plans)
        }
        try:
            while running:
                done, running = wait(running, timeout=_STOP_CHECK_S, return_when=FIRST_COMPLETED)
                for future in done:
                    cell = future.result()
                    record.add(cell)
                    finished += 1
                    _tell(cell, finished, len(plans))
                if done and file is not None:
                    record.save(file)
        except BaseException:
            # Cells that run end their programs and take their labs down; the pool waits for them.
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _tell(cell: CellResult, number: int, total: int) -> None:
    parts = [f"{cell.direct} direct, {cell.relay} relay of {len(cell.runs)}"]
    for name, values in (
        ("first byte", [run.first_byte_s for run in cell.runs]),
        ("direct", [run.direct_s for run in cell.runs]),
    ):
        if (median := percentiles(values)["p50"]) is not None:
            parts.append(f"{name} {median:.3f} s")
    parts += cell.complaints
    print(f"[{number}/{total}] {cell.key.name}: {', '.join(parts)}", file=sys.stderr, flush=True)


def _show(cells: Sequence[CellResult], verdicts: Sequence[Verdict]) -> int:
    """Print what was found.

    Returns:
        How many things are not as they must be.
    """
    pairs = [cell for cell in cells if is_pair(cell)]
    others = [cell for cell in cells if not is_pair(cell)]
    if pairs:
        print(format_matrix(pairs))
    if others:
        print(format_list(others))
    print(
        "D: direct, with the median time until then. R: relay, with the median time until the first byte. !: see below."
    )
    wrong = [cell for cell in cells if not cell.as_expected]
    for cell in wrong:
        print(f"NOT AS EXPECTED  {cell.key.name}: {'; '.join(cell.complaints)}")
    print(f"{len(cells) - len(wrong)} of {len(cells)} cells as expected")
    missed = [verdict for verdict in verdicts if verdict.misses]
    if verdicts:
        print(f"\n{format_verdicts(verdicts)}\n{len(verdicts) - len(missed)} of {len(verdicts)} cells within bounds")
    return len(wrong) + len(missed)


def run_matrix(arguments: argparse.Namespace) -> int:
    """Run the command.

    Args:
        arguments: As `add_arguments` declares them.

    Returns:
        The exit code: 1 when a cell is not as it must be and that was to be checked, else 0.

    Raises:
        LabError: A flag is wrong, a file is no record, or the programs are not installed.
    """
    targets = targets_named(arguments.targets or ())
    if arguments.from_json:
        record = merged(load_record(path) for path in arguments.from_json)
    else:
        require_root()
        require_tools("ip", "nft")
        runs = arguments.runs if arguments.runs is not None else TARGET_RUNS if targets else 1
        if runs < 1 or arguments.jobs < 1:
            raise LabError("--runs and --jobs are at least 1")
        setups = _setups(arguments, targets)
        resumes = arguments.resume and arguments.json is not None and arguments.json.exists()
        record = load_record(arguments.json) if resumes else Record()
        plans = _plan(arguments, setups, record, runs)
        started_at = time.monotonic()
        _run_all(plans, arguments.jobs, record, arguments.json)
        print(f"{sum(plan.runs for plan in plans)} sessions in {time.monotonic() - started_at:.0f} s\n")
    cells = sorted(record.cells.values(), key=lambda cell: (cell.key.scenario, cell.key.loss))
    verdicts = judge_all(record.cells) if arguments.bounds else judge(targets, record.cells, delay_s=arguments.delay)
    bad = _show(cells, verdicts)
    if arguments.json is not None:
        extra = {"targets": [verdict.to_json() for verdict in verdicts]} if verdicts else {}
        record.save(arguments.json, extra)
    if arguments.html is not None:
        shown = verdicts or judge(list(TARGETS.values()), record.cells, delay_s=arguments.delay)
        arguments.html.write_text(heatmap(record, shown))
    return 1 if bad and arguments.check else 0
