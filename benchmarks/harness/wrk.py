"""wrk, a client of HTTP in C that asks as fast as it is answered."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.harness.program import BenchmarkError, run_to_end

_MS: Final = {"us": 1e-3, "ms": 1.0, "s": 1e3}


@dataclass(frozen=True, slots=True)
class Load:
    """What a run has found.

    Attributes:
        per_s: Requests that were answered, in a second.
        p99_ms: Of a hundred requests the slowest takes longer.
    """

    per_s: float
    p99_ms: float


def missing() -> str | None:
    """Tell why it cannot run here; None if it can."""
    return None if shutil.which("wrk") else "wrk is not installed"


def command(url: str, host: str, *, connections: int, seconds: float) -> list[str]:
    """Make the command line.

    Args:
        url: What to ask for.
        host: The host name in the requests.
        connections: How many stay open; each has one request at a time.
        seconds: How long; wrk knows whole ones only.
    """
    number = str(max(1, round(seconds)))
    return ["wrk", "-t", "1", "-c", str(connections), "-d", number, "--latency", "-H", f"Host: {host}", url]


def run(line: Sequence[str], *, seconds: float) -> Load:
    """Run a command line of ``command``.

    Raises:
        BenchmarkError: It failed, or a request did.
    """
    told = run_to_end(line, timeout_s=seconds + 20)
    if failed := re.search(r"^ *(Socket errors|Non-2xx).*", told, re.MULTILINE):
        raise BenchmarkError(f"wrk: {failed[0].strip()}")
    per_s = re.search(r"^Requests/sec: +([\d.]+)", told, re.MULTILINE)
    slowest = re.search(r"^ +99% +([\d.]+)(us|ms|s)", told, re.MULTILINE)
    if per_s is None or slowest is None:
        raise BenchmarkError(f"wrk said {told[-200:]!r}")
    return Load(float(per_s[1]), float(slowest[1]) * _MS[slowest[2]])
