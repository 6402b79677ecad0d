"""All figures; see ``benchmarks/run --help``."""

from __future__ import annotations

import sys

from benchmarks import bulk, connections, datagrams, latency, startup
from benchmarks.harness.runner import main

if __name__ == "__main__":
    sys.exit(main((*bulk.FIGURES, *latency.FIGURES, *datagrams.FIGURES, *connections.FIGURES, *startup.FIGURES)))
