"""What becomes of UDP: how much of a flood is lost, and how evenly a game's few datagrams arrive."""

from __future__ import annotations

import sys

from benchmarks.harness.figure import Bench, Figure
from benchmarks.harness.program import BenchmarkError
from benchmarks.harness.runner import main

_FLOOD_PER_S, _FLOOD_BYTES = 100_000, 200
_GAME_PER_S, _GAME_BYTES = 60, 64


def lost_percent(bench: Bench) -> float:
    """What does not arrive of 100,000 datagrams of 200 bytes a second."""
    with bench.tunnel("datagrams") as tunnel:
        found = bench.ask("send", tunnel, seconds=bench.seconds, per_s=_FLOOD_PER_S, size=_FLOOD_BYTES)
    if found["per_s"] < 0.98 * _FLOOD_PER_S:
        raise BenchmarkError(f"the sender came to {found['per_s']:.0f} a second only")
    return 100.0 * (1 - float(found["arrived"]) / float(found["sent"]))


def jitter_ms(bench: Bench) -> float:
    """By how much the slowest hundredth of 60 datagrams of 64 bytes a second is later than the median."""
    with bench.tunnel("datagrams") as tunnel:
        found = bench.ask("send", tunnel, seconds=bench.seconds, per_s=_GAME_PER_S, size=_GAME_BYTES)
    return float(found["p99_ms"] - found["median_ms"])


_PEERS = ("ours_udp", "ours_udp_aioquic", "udp", "socat_udp")

FIGURES = (
    Figure(
        name="datagrams_lost",
        title="100,000 datagrams of 200 bytes a second, lost",
        unit="%",
        better="lower",
        peers=_PEERS,
        measure=lost_percent,
    ),
    Figure(
        name="datagrams_jitter",
        title="60 datagrams of 64 bytes a second, 99th percentile of the delay above the median",
        unit="ms",
        better="lower",
        peers=_PEERS,
        measure=jitter_ms,
        seconds=10.0,
    ),
)

if __name__ == "__main__":
    sys.exit(main(FIGURES))
