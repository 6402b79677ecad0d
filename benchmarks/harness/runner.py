"""Runs figures: peers take turns, so that a busy moment of the machine hits all; medians are compared."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.harness import report
from benchmarks.harness.figure import Bench, Figure
from benchmarks.harness.place import Loopback, Namespaces, Place, place_named
from benchmarks.harness.program import BenchmarkError
from benchmarks.peers import OURS, PEERS


def run_figure(figure: Figure, place: Place, peers: Sequence[str], *, runs: int, seconds: float) -> dict[str, Any]:
    """Measure one figure.

    Args:
        figure: Which.
        place: Where.
        peers: Names of those that take part, of the figure's own.
        runs: How often each.
        seconds: How long each run's traffic lasts.

    Returns:
        The result, as it is written to JSON.
    """
    skipped = {name: reason for name in peers if (reason := PEERS[name].missing())}
    values: dict[str, list[float]] = {name: [] for name in peers if name not in skipped}
    for name, reason in skipped.items():
        print(f"{figure.name}: {name} skipped: {reason}", flush=True)
    for number in range(1, runs + 1):
        for name in tuple(values):
            folder = Path(tempfile.mkdtemp(prefix=f"p2p-bench-{figure.name}-{name}-"))
            try:
                value = figure.measure(Bench(place, PEERS[name], folder, seconds))
            except BenchmarkError as error:
                print(f"{figure.name}: {name} failed: {error}", flush=True)
                if not values[name]:
                    skipped[name] = str(error)
                    del values[name]
            else:
                values[name].append(value)
                print(f"{figure.name}: {name} run {number}: {value:.4g} {figure.unit}", flush=True)
                shutil.rmtree(folder)
    return _result(figure, place, values, skipped)


def _result(figure: Figure, place: Place, values: dict[str, list[float]], skipped: dict[str, str]) -> dict[str, Any]:
    def figures(runs: list[float]) -> dict[str, Any]:
        return {"median": _short(median(runs)), "runs": [_short(run) for run in runs]}

    # A figure of one kind of path may have only a variant of ours.
    our_name = next((name for name in values if name.startswith(OURS)), None)
    ours = median(values[our_name]) if our_name else None
    return {
        "figure": figure.name,
        "title": figure.title,
        "unit": figure.unit,
        "better": figure.better,
        "place": place.name,
        "ours": figures(values[our_name]) if our_name else None,
        "peers": {
            name: {
                "version": PEERS[name].version(),
                **figures(runs),
                "ratio": _short(ours / median(runs)) if ours is not None and median(runs) else None,
            }
            for name, runs in values.items()
            if name != our_name
        },
        "skipped": skipped,
    }


def _short(value: float) -> float:
    return float(f"{value:.4g}")


def main(figures: Sequence[Figure], arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for.

    Args:
        figures: Those it may name; with one figure alone no name is needed.
        arguments: The command line without the program.

    Returns:
        The exit code.
    """
    options = _parser(figures).parse_args(arguments)
    if not options.names and len(figures) > 1:
        print("\n".join(f"{figure.name:18} {figure.title}, {figure.unit}" for figure in figures))
        return 0
    chosen = [
        figure
        for figure in figures
        if len(figures) == 1 or "all" in options.names or any(map(figure.name.startswith, options.names))
    ]
    if not chosen:
        print(f"there is no figure {', '.join(options.names)}", file=sys.stderr)
        return 2
    # Ended by a signal, it still ends the programs and takes the namespaces down.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    _go_first()
    runs = 1 if options.quick else options.runs
    results = []
    with place_named(options.place) as place:
        for figure in chosen:
            peers = [name for name in options.peers or figure.peers if name in figure.peers]
            seconds = options.seconds or (1.0 if options.quick else figure.seconds)
            if peers:
                results.append(run_figure(figure, place, peers, runs=runs, seconds=seconds))
    print("\n" + report.table(results))
    document = results[0] if len(results) == 1 else {"machine": machine(), "figures": results}
    if options.json:
        options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    if options.svg:
        options.svg.write_text(report.bars(results[0]), encoding="utf-8")
    return 0


def machine() -> str:
    """Describe this machine in a line."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return f"{line.partition(':')[2].strip()}, {os.cpu_count()} cores, Linux {platform.release()}"
    return f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}"


def _parser(figures: Sequence[Figure]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks/run", description=__doc__)
    if len(figures) > 1:
        parser.add_argument("names", nargs="*", metavar="FIGURE", help="figures, or the beginnings of their names; all")
    else:
        parser.set_defaults(names=["all"])
    parser.add_argument("--peers", type=lambda text: text.split(","), help="names, with commas; else all of the figure")
    parser.add_argument("--runs", type=int, default=3, help="runs of each peer (default: 3)")
    parser.add_argument("--seconds", type=float, help="length of a run's traffic")
    best = Namespaces.name if os.geteuid() == 0 else Loopback.name
    parser.add_argument("--place", choices=(Loopback.name, Namespaces.name), default=best, help=f"where (here: {best})")
    parser.add_argument("--quick", action="store_true", help="one short run of each: rough")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results here")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw the first figure here")
    return parser


def _go_first() -> None:
    """Go before other sessions on this machine: with autogroups, niceness counts inside of a session only."""
    with contextlib.suppress(OSError):
        os.setsid()
    with contextlib.suppress(OSError):
        Path("/proc/self/autogroup").write_text("-19", encoding="ascii")
