"""All figures; see ``benchmarks/run --help``."""

from __future__ import annotations

import sys

from benchmarks import bulk, connections, datagrams, latency, public, startup
from benchmarks.harness.runner import main

if __name__ == "__main__":
    figures = (*bulk.FIGURES, *latency.FIGURES, *datagrams.FIGURES, *connections.FIGURES, *startup.FIGURES)
    sys.exit(main((*figures, *public.FIGURES)))
