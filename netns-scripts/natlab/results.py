"""What the matrix found: values, their JSON, and a plain text table."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .expectation import Expectation, Path
from .tables import format_table


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """What one session came to.

    Attributes:
        path: Where it ended up; None when there was no session.
        reason: Why it is on the relay, by the dialer.
        transport: What its first path ran over: ``udp``, ``tcp`` or ``tls``.
        first_byte_s: From the start of signalling to the first byte, in seconds.
        wall_first_byte_s: From the start of the dialing program to the first byte, in seconds.
        direct_s: From the start of signalling until the path was direct, in seconds.
        exchange_s: How long the exchange on the final path took after its first byte, in seconds.
        bytes_ok: Whether every byte of every exchange was right.
        problem: What went wrong.
    """

    path: Path | None
    reason: str | None = None
    transport: str = ""
    first_byte_s: float | None = None
    wall_first_byte_s: float | None = None
    direct_s: float | None = None
    exchange_s: float | None = None
    bytes_ok: bool = False
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CellResult:
    """What all sessions of a pair came to.

    Attributes:
        dialer: The dialer's kind.
        exposer: The exposer's kind.
        expectation: What the pair must come to.
        runs: The sessions.
    """

    dialer: str
    exposer: str
    expectation: Expectation
    runs: tuple[RunResult, ...]

    @property
    def direct(self) -> int:
        """How many sessions became direct."""
        return sum(run.path is Path.DIRECT for run in self.runs)

    @property
    def relay(self) -> int:
        """How many sessions stayed on the relay."""
        return sum(run.path is Path.RELAY for run in self.runs)

    @property
    def bytes_ok(self) -> bool:
        """Whether every byte of every session was right."""
        return all(run.bytes_ok for run in self.runs)

    @property
    def complaints(self) -> tuple[str, ...]:
        """What is not as expected, each said once."""
        said = []
        for run in self.runs:
            complaint = self.expectation.complaint(run.path, run.reason)
            said.append(f"{complaint}: {run.problem}" if complaint and run.problem else complaint or run.problem)
        return tuple(dict.fromkeys(sentence for sentence in said if sentence))

    @property
    def as_expected(self) -> bool:
        """Whether every session came to what it must come to, with every byte right."""
        return self.bytes_ok and not self.complaints

    def to_json(self) -> dict[str, Any]:
        """Make the object for a machine to read."""
        return {
            "dialer": self.dialer,
            "exposer": self.exposer,
            "runs": len(self.runs),
            "connected": self.direct + self.relay,
            "direct": self.direct,
            "relay": self.relay,
            "reasons": dict(Counter(run.reason or "none given" for run in self.runs if run.path is Path.RELAY)),
            "transports": dict(Counter(run.transport for run in self.runs if run.transport)),
            "first_byte_s": percentiles([run.first_byte_s for run in self.runs]),
            "wall_first_byte_s": percentiles([run.wall_first_byte_s for run in self.runs]),
            "direct_s": percentiles([run.direct_s for run in self.runs]),
            "exchange_s": percentiles([run.exchange_s for run in self.runs]),
            "bytes_ok": self.bytes_ok,
            "expected": self.expectation.path.value,
            "as_expected": self.as_expected,
            "complaints": list(self.complaints),
        }


def percentiles(values: Sequence[float | None]) -> Mapping[str, float | None]:
    """The median and the 95th percentile of what was measured, None where nothing was."""
    known = sorted(value for value in values if value is not None)
    if not known:
        return {"p50": None, "p95": None}
    # The smallest value that at least 95 in 100 do not exceed: with few runs that is the largest.
    rank = max(0, -(-len(known) * 95 // 100) - 1)
    return {"p50": round(statistics.median(known), 4), "p95": round(known[rank], 4)}


def short_cell(cell: CellResult) -> str:
    """Say in a few characters what a pair came to: ``D0.21`` is direct after 0.21 s, ``R0.10`` relay, first byte."""
    mark = "" if cell.as_expected else "!"
    if not cell.direct and not cell.relay:
        return f"FAIL{mark}"
    if cell.direct and cell.relay:
        return f"{cell.direct}D{cell.relay}R{mark}"
    name, values = (
        ("D", [run.direct_s for run in cell.runs]) if cell.direct else ("R", [run.first_byte_s for run in cell.runs])
    )
    median = percentiles(values)["p50"]
    return f"{name}{'' if median is None else f'{median:.2f}'}{mark}"


def format_matrix(cells: Sequence[CellResult]) -> str:
    """Write the matrix as text, one row for each dialer and one column for each exposer."""
    dialers, exposers = axes(cells)
    found = {(cell.dialer, cell.exposer): short_cell(cell) for cell in cells}
    rows = [[dialer, *(found.get((dialer, exposer), "") for exposer in exposers)] for dialer in dialers]
    return format_table(["dialer \\ exposer", *exposers], rows)


def axes(cells: Sequence[CellResult]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The dialers' kinds and the exposers' kinds, each once, in the order they first come."""
    dialers = dict.fromkeys(cell.dialer for cell in cells)
    return tuple(dialers), tuple(dict.fromkeys(cell.exposer for cell in cells))
