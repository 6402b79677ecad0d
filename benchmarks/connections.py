"""Many small connections: how many a second, and what an idle one costs."""

from __future__ import annotations

import sys

from benchmarks.harness.figure import Bench, Figure
from benchmarks.harness.program import BenchmarkError
from benchmarks.harness.runner import main

_IDLE = 200


def rate_per_s(bench: Bench) -> float:
    """Connections that were opened, carried a byte each way and were closed, 32 at a time."""
    with bench.tunnel("echo") as tunnel:
        result = bench.ask("open", tunnel, seconds=bench.seconds)
    if result["failed"]:
        raise BenchmarkError(f"{result['failed']} connections failed")
    return float(result["per_s"])


def idle_kib(bench: Bench) -> float:
    """Memory of both ends' programs for one idle connection, beyond what they need without any."""
    with bench.tunnel("echo") as tunnel:
        bench.ask("open", tunnel, seconds=0.1)
        before = sum(program.memory_bytes for program in tunnel.programs)
        with bench.client("hold", tunnel, count=_IDLE) as client:
            client.wait_for("held", 60)
            return (sum(program.memory_bytes for program in tunnel.programs) - before) / _IDLE / 1024


FIGURES = (
    Figure(
        name="connection_rate",
        title="New TCP connections a second, 32 at a time",
        unit="1/s",
        better="higher",
        peers=("ours", "ours_aioquic", "tcp", "socat", "ssh", "frp_xtcp", "iroh", "hyperdht"),
        measure=rate_per_s,
    ),
    Figure(
        name="idle_memory",
        title="Memory of both ends for an idle connection",
        unit="KiB",
        better="lower",
        peers=("ours", "socat", "ssh", "frp_xtcp", "iroh", "hyperdht"),
        measure=idle_kib,
    ),
)

if __name__ == "__main__":
    sys.exit(main(FIGURES))
