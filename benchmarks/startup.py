"""How long the command line takes to answer, and a dialer to be ready."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from benchmarks.harness.figure import Bench, Figure
from benchmarks.harness.runner import main
from benchmarks.peers.ours import COMPILED, help_command


def help_s(bench: Bench) -> float:
    """From the start of ``p2p --help`` to its end."""
    command = help_command()
    environment = {**os.environ, **COMPILED}
    subprocess.run(command, capture_output=True, check=True, env=environment)  # the first one compiles
    started = time.perf_counter()
    subprocess.run(command, capture_output=True, check=True, env=environment)
    return time.perf_counter() - started


def ready_s(bench: Bench) -> float:
    """From the start of the dialing program to the moment that a session is up, on whatever path comes first."""
    with bench.tunnel("echo") as tunnel:
        assert tunnel.dialing is not None
        assert tunnel.dialing.ready_at is not None
        return tunnel.dialing.ready_at - tunnel.dialing.started_at


FIGURES = (
    Figure(
        name="startup",
        title="The command line's help",
        unit="s",
        better="lower",
        peers=("ours",),
        measure=help_s,
    ),
    Figure(
        name="dial",
        title="From the start of the dialing program until it is ready",
        unit="s",
        better="lower",
        peers=("ours", "ours_relay", "ssh", "frp_xtcp", "iroh", "hyperdht"),
        measure=ready_s,
    ),
)

if __name__ == "__main__":
    sys.exit(main(FIGURES))
