"""``lab matrix``: the real programs in every ordered pair of kinds, several labs at a time."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path as FilePath
from typing import Final

from .cell import CellPlan, run_cell
from .errors import LabError
from .expectation import Path, expect
from .heatmap import heatmap
from .kinds import KINDS, kind_named
from .namespaces import require_root
from .programs import find_program
from .results import CellResult, format_matrix
from .shapes import LinkShape, parse_duration_s, parse_loss
from .tools import require_tools

DEFAULT_KINDS: Final = (
    "open", "fw", "full", "addr", "port", "port-np", "linux", "sym", "symseq", "udpblock",
)  # fmt: skip
_STOP_CHECK_S: Final = 0.2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's flags."""

    def kinds(text: str) -> tuple[str, ...]:
        return tuple(part.strip() for part in text.split(",") if part.strip())

    def pair(text: str) -> tuple[str, str]:
        dialer, _, exposer = text.partition(":")
        return dialer, exposer

    parser.add_argument("--kinds", type=kinds, default=DEFAULT_KINDS, help=f"such as port,sym; all: {','.join(KINDS)}")
    parser.add_argument("--pair", type=pair, action="append", metavar="DIALER:EXPOSER", help="only this pair; repeat")
    parser.add_argument("--runs", type=int, default=1, help="sessions for each pair (default 1)")
    parser.add_argument("--delay", type=parse_duration_s, default=0.02, help="one way on each uplink (default 20ms)")
    parser.add_argument("--loss", type=parse_loss, default=0.0, help="on each uplink and way (default none)")
    parser.add_argument("--size", type=int, default=1 << 20, help="bytes sent each way (default 1 MiB)")
    parser.add_argument("--jobs", type=int, default=2, help="labs at a time (default 2)")
    parser.add_argument("--deadline", type=parse_duration_s, default=3.0, help="for a path to be final (default 3s)")
    parser.add_argument(
        "--hard-deadline", type=parse_duration_s, default=20.0, help="the same where a port is guessed (default 20s)"
    )
    parser.add_argument(
        "--hard", choices=[path.value for path in Path], default="direct", help="what pairs that need a guess must be"
    )
    parser.add_argument("--ipv6", action="store_true", help="give the labs IPv6, which every pair can punch through")
    parser.add_argument("--json", type=FilePath, metavar="FILE", help="write what was found for machines")
    parser.add_argument("--html", type=FilePath, metavar="FILE", help="write a heat map, one page")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a pair is not as expected")
    parser.add_argument("--keep-logs", type=FilePath, metavar="FOLDER", help="keep what the programs wrote")
    parser.add_argument("--p2p", type=shlex.split, metavar="COMMAND", help="the program to run (default: p2p)")
    parser.add_argument(
        "--flag", action="append", default=[], metavar="FLAG", help="one more flag for expose and connect; repeat"
    )


def _plan(arguments: argparse.Namespace) -> list[CellPlan]:
    names: tuple[str, ...] = arguments.kinds
    pairs = arguments.pair or [(dialer, exposer) for dialer in names for exposer in names]
    if arguments.runs < 1 or arguments.jobs < 1:
        raise LabError("--runs and --jobs are at least 1")
    command = tuple(arguments.p2p) if arguments.p2p else find_program()
    if arguments.keep_logs is not None:
        arguments.keep_logs.mkdir(parents=True, exist_ok=True)
    return [
        CellPlan(
            dialer=dialer,
            exposer=exposer,
            runs=arguments.runs,
            link=LinkShape(delay_s=arguments.delay, loss=arguments.loss),
            ipv6=arguments.ipv6,
            size=arguments.size,
            deadline_s=arguments.deadline,
            hard_deadline_s=arguments.hard_deadline,
            expectation=expect(kind_named(dialer), kind_named(exposer), hard=Path(arguments.hard)),
            command=command,
            flags=tuple(arguments.flag),
            keep=arguments.keep_logs,
        )
        for dialer, exposer in pairs
    ]


def _run_all(plans: list[CellPlan], jobs: int) -> list[CellResult]:
    """Run cells, several at a time, and say on standard error how it goes."""
    stop = threading.Event()
    results: list[CellResult] = []
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
                    results.append(cell)
                    _tell(cell, len(results), len(plans))
        except BaseException:
            # Cells that run end their programs and take their labs down; the pool waits for them.
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    order = {(plan.dialer, plan.exposer): number for number, plan in enumerate(plans)}
    return sorted(results, key=lambda cell: order[cell.dialer, cell.exposer])


def _tell(cell: CellResult, number: int, total: int) -> None:
    first = [run.first_byte_s for run in cell.runs if run.first_byte_s is not None]
    direct = [run.direct_s for run in cell.runs if run.direct_s is not None]
    parts = [f"{cell.direct} direct, {cell.relay} relay of {len(cell.runs)}"]
    if first:
        parts.append(f"first byte {min(first):.3f} s")
    if direct:
        parts.append(f"direct {min(direct):.3f} s")
    parts += cell.complaints
    print(f"[{number}/{total}] {cell.dialer} to {cell.exposer}: {', '.join(parts)}", file=sys.stderr, flush=True)


def run_matrix(arguments: argparse.Namespace) -> int:
    """Run the command.

    Args:
        arguments: As `add_arguments` declares them.

    Returns:
        The exit code: 1 when a pair is not as expected and that was to be checked, else 0.

    Raises:
        LabError: A flag is wrong, or the programs are not installed.
    """
    require_root()
    require_tools("ip", "nft")
    plans = _plan(arguments)
    started_at = time.monotonic()
    cells = _run_all(plans, arguments.jobs)
    delay_ms = arguments.delay * 1e3
    print(format_matrix(cells))
    print(
        "D: direct, with the median time until then. R: relay, with the median time until the first byte. !: see below."
    )
    wrong = [cell for cell in cells if not cell.as_expected]
    for cell in wrong:
        print(f"NOT AS EXPECTED  {cell.dialer} to {cell.exposer}: {'; '.join(cell.complaints)}")
    print(f"{len(cells) - len(wrong)} of {len(cells)} pairs as expected, in {time.monotonic() - started_at:.0f} s")
    if arguments.json is not None:
        document = {"delay_ms": delay_ms, "cells": [cell.to_json() for cell in cells]}
        arguments.json.write_text(json.dumps(document, indent=1) + "\n")
    if arguments.html is not None:
        arguments.html.write_text(heatmap(cells, delay_ms=delay_ms))
    return 1 if wrong and arguments.check else 0
