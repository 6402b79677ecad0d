"""How many bytes a second TCP connections carry, on one and on ten of them, straight and through a relay."""

from __future__ import annotations

import sys
from functools import partial

from benchmarks.harness.figure import Bench, Figure, result_of
from benchmarks.harness.runner import main
from benchmarks.peers.plain import Iperf3


def rate_mbit_s(bench: Bench, streams: int = 1) -> float:
    """Read from the source on some connections at once."""
    if isinstance(bench.peer, Iperf3):
        return bench.peer.pull_mbit_s(bench.place, bench.folder, seconds=bench.seconds, streams=streams)
    with bench.tunnel("source") as tunnel:
        result = bench.ask("pull", tunnel, seconds=bench.seconds, streams=streams)
    return float(sum(result["bytes"]) * 8e-6 / result["seconds"])


def unfairness(bench: Bench, streams: int = 10) -> float:
    """How much more the luckiest of ten connections gets than the unluckiest."""
    with bench.tunnel("source") as tunnel:
        counts = bench.ask("pull", tunnel, seconds=bench.seconds, streams=streams)["bytes"]
    return float(max(counts) / max(1, min(counts)) - 1)


def cpu_s_per_gib(bench: Bench) -> float:
    """Processor time of both ends' programs for a GiB."""
    with bench.tunnel("source") as tunnel, bench.client("pull", tunnel, seconds=bench.seconds) as client:
        client.wait_for("^warm")
        before = sum(program.cpu_s for program in tunnel.programs)
        counts = result_of(client)["bytes"]
        return float((sum(program.cpu_s for program in tunnel.programs) - before) / sum(counts) * 2**30)


def cpu_share(bench: Bench, mbit: float = 100.0) -> float:
    """The busier end's share of a core at a fixed rate."""
    with bench.tunnel("source") as tunnel, bench.client("pull", tunnel, seconds=bench.seconds, mbit=mbit) as client:
        client.wait_for("^warm")
        before = [program.cpu_s for program in tunnel.programs]
        seconds = float(result_of(client)["seconds"])
        return max(program.cpu_s - start for program, start in zip(tunnel.programs, before, strict=True)) / seconds


_TUNNELS = ("ours", "socat", "ssh", "frp_xtcp", "iroh", "hyperdht")

FIGURES = (
    Figure(
        name="bulk_direct",
        title="One TCP connection, direct",
        unit="Mbit/s",
        better="higher",
        peers=("ours", "ours_aioquic", "tcp", "socat", "iperf3", "ssh", "frp_xtcp", "iroh", "hyperdht"),
        measure=rate_mbit_s,
    ),
    Figure(
        name="bulk_ten",
        title="Ten TCP connections together, direct",
        unit="Mbit/s",
        better="higher",
        peers=("ours", "ours_aioquic", "socat", "iperf3", "ssh", "frp_xtcp", "iroh", "hyperdht"),
        measure=partial(rate_mbit_s, streams=10),
    ),
    Figure(
        name="bulk_fairness",
        title="How much more the luckiest of ten connections gets than the unluckiest",
        unit="share",
        better="lower",
        peers=_TUNNELS,
        measure=unfairness,
    ),
    Figure(
        name="bulk_relay",
        title="One TCP connection through a server in the middle",
        unit="Mbit/s",
        better="higher",
        peers=("ours_relay", "frp_stcp"),
        measure=rate_mbit_s,
    ),
    Figure(
        name="cpu_per_gib",
        title="Processor time of both ends for a GiB",
        unit="s",
        better="lower",
        peers=_TUNNELS,
        measure=cpu_s_per_gib,
    ),
    Figure(
        name="cpu_100mbit",
        title="The busier end's share of a core at 100 Mbit/s",
        unit="share",
        better="lower",
        peers=_TUNNELS,
        measure=cpu_share,
        seconds=5.0,
    ),
)

if __name__ == "__main__":
    sys.exit(main(FIGURES))
