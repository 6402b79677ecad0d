"""What a second worker adds.

    python -m benchmarks.relay.scaling [--share 0.25] [--runs 3] [--seconds 2] [--json FILE]

A machine with two cores has none to spare for a second worker beside the generator. So each worker gets a share of one
core and no more, by a control group of its own, and one worker is compared with two. Needs root, and the
``cpu`` controller.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from benchmarks.relay.load import Generator, Load, relayed_flows
from benchmarks.relay.network import Network
from benchmarks.relay.priority import go_first
from benchmarks.relay.relays import ours

_FOLDER: Final = Path("/sys/fs/cgroup/cpu")
_PERIOD_US: Final = 5000
"""Short, so that a worker that has used its share up is not away for long."""
_LOAD: Final = Load(flows=100, window=600)


def measure(generator: Generator, workers: int, share: float, seconds: float) -> float:
    """Return what so many workers relay, in Mbit/s."""
    with (
        Network() as network,
        ours(network, cores="1", workers=workers) as relay,
        # The first process is the parent when there are several workers; it does nothing meanwhile.
        _limited(relay.pids[-workers:], share),
        relayed_flows(network, _LOAD) as flows,
    ):
        result = generator.run(flows, _LOAD, seconds=seconds, pids=relay.pids)
    return float(result["mbit_per_s"])


@contextlib.contextmanager
def _limited(pids: Sequence[int], share: float) -> Iterator[None]:
    """Give each process a share of a core."""
    with contextlib.ExitStack() as stack:
        for pid in pids:
            group = _FOLDER / f"relay-bench-{pid}"
            group.mkdir()
            stack.callback(group.rmdir)
            (group / "cpu.cfs_period_us").write_text(str(_PERIOD_US), encoding="ascii")
            (group / "cpu.cfs_quota_us").write_text(str(int(_PERIOD_US * share)), encoding="ascii")
            (group / "cgroup.procs").write_text(str(pid), encoding="ascii")
            stack.callback((_FOLDER / "cgroup.procs").write_text, str(pid), encoding="ascii")
        yield


def main() -> int:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.relay.scaling", description="One worker and two.")
    parser.add_argument("--share", type=float, default=0.25, help="of a core, for each worker")
    parser.add_argument("--runs", type=int, default=3, help="measurements of each")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of each measurement")
    parser.add_argument("--json", type=Path, help="write the result here")
    options = parser.parse_args()
    if not os.access(_FOLDER / "cgroup.procs", os.W_OK):
        print(f"no control groups with a cpu controller in {_FOLDER}", file=sys.stderr)
        return 1
    go_first()
    runs: dict[int, list[float]] = {1: [], 2: []}
    with Generator() as generator:
        for _ in range(options.runs):
            for workers, measured in runs.items():
                measured.append(measure(generator, workers, options.share, options.seconds))
    one, two = (statistics.median(runs[workers]) for workers in (1, 2))
    result = {"unit": "Mbit/s", "share": options.share, "one": one, "two": two, "ratio": two / one, "runs": runs}
    print(json.dumps(result, indent=1))
    if options.json is not None:
        options.json.write_text(json.dumps(result) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
