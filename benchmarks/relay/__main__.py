"""Our relay beside coturn, one core each, in network namespaces. Needs root; a C compiler makes the figures real.

    python -m benchmarks.relay [--runs 3] [--seconds 2] [--quick] [--only NAME ...] [--json FILE]

Runs alternate between the two relays; medians are compared. Whatever else runs on the machine makes all figures worse,
and the figures of the faster relay more so, because the generator has a core of its own and shares it too.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.relay import report
from benchmarks.relay.load import Generator
from benchmarks.relay.network import Network
from benchmarks.relay.priority import go_first
from benchmarks.relay.relays import coturn_version
from benchmarks.relay.scenarios import SCENARIOS, STARTERS, Figures, Scenario


def main() -> int:
    """Measure what the command line asks for."""
    options = _options()
    if os.geteuid() != 0 or not sys.platform.startswith("linux"):
        print("network namespaces need root on Linux", file=sys.stderr)
        return 1
    go_first()
    version = coturn_version()
    skipped = {} if version else {"coturn": "turnserver is not installed"}
    names = ["ours", *(["coturn"] if version else [])]
    chosen = [scenario for scenario in SCENARIOS if not options.only or scenario.name in options.only]
    figures = []
    with Generator() as generator:
        for scenario in chosen:
            runs = _measure(scenario, generator, names, runs=options.runs, seconds=options.seconds)
            figures.append(report.figure(scenario, runs, skipped, version))
            print(json.dumps(figures[-1]), file=sys.stderr)
    print(report.table(figures, chosen))
    if options.json is not None:
        options.json.write_text(json.dumps({"figures": figures}, indent=1) + "\n", encoding="utf-8")
    return 0


def _measure(
    scenario: Scenario, generator: Generator, names: Sequence[str], *, runs: int, seconds: float
) -> dict[str, list[Figures]]:
    measured: dict[str, list[Figures]] = {name: [] for name in names}
    with Network(gro=scenario.gro) as network:
        for _ in range(runs):
            for name in names:
                measured[name].append(scenario.measure(network, generator, STARTERS[name], seconds))
    return measured


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.relay", description="Our relay beside coturn.")
    parser.add_argument("--runs", type=int, default=3, help="measurements of each relay")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of each measurement")
    parser.add_argument("--quick", action="store_true", help="one short measurement of each: half a minute, and rough")
    parser.add_argument("--only", nargs="+", choices=[scenario.name for scenario in SCENARIOS], help="these scenarios")
    parser.add_argument("--json", type=Path, help="write the results here")
    options = parser.parse_args()
    if options.quick:
        options.runs, options.seconds = 1, 0.5
    return options


if __name__ == "__main__":
    sys.exit(main())
