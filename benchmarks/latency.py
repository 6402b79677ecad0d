"""How long a byte takes there and back on a connection that is open."""

from __future__ import annotations

import sys

from benchmarks.harness.figure import Bench, Figure
from benchmarks.harness.runner import main


def round_trip_ms(bench: Bench) -> float:
    """The median of a few hundred single bytes; ``tcp`` shows what the two hosts need without any program."""
    with bench.tunnel("echo") as tunnel:
        return float(bench.ask("ask", tunnel, count=bench.seconds * 100)["median_ms"])


FIGURES = (
    Figure(
        name="latency",
        title="One byte there and back, median",
        unit="ms",
        better="lower",
        peers=("ours", "ours_aioquic", "tcp", "socat", "ssh", "frp_xtcp", "iroh", "hyperdht"),
        measure=round_trip_ms,
    ),
)

if __name__ == "__main__":
    sys.exit(main(FIGURES))
