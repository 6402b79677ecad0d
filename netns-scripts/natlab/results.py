"""What the matrix found: values, their JSON, and a plain text table."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from .expectation import Expectation, Path
from .kinds import KINDS
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
        relay_s: From the start of signalling until there was a path over the relay, in seconds.
        direct_s: From the start of signalling until the path was direct, in seconds.
        reason_s: From the start of signalling until the reason for the relay was said, in seconds.
        exchange_s: How long the exchange on the final path took after its first byte, in seconds.
        peer_packets: UDP packets that both routers sent to others than the server; None where nobody counted.
        bytes_ok: Whether every byte of every exchange was right.
        problem: What went wrong.
    """

    path: Path | None
    reason: str | None = None
    transport: str = ""
    first_byte_s: float | None = None
    wall_first_byte_s: float | None = None
    relay_s: float | None = None
    direct_s: float | None = None
    reason_s: float | None = None
    exchange_s: float | None = None
    peer_packets: int | None = None
    bytes_ok: bool = False
    problem: str = ""

    def to_json(self) -> dict[str, Any]:
        """Make the object for a machine to read; what is empty is left out."""
        values: dict[str, Any] = {"path": None if self.path is None else self.path.value}
        for name in RunResult.__slots__[1:]:
            value = getattr(self, name)
            if value not in (None, ""):
                values[name] = round(value, 4) if isinstance(value, float) else value
        return values


def run_from_json(value: Mapping[str, Any]) -> RunResult:
    """Undo `RunResult.to_json`."""
    path = value["path"]
    return RunResult(**{**value, "path": None if path is None else Path(path)})


class CellKey(NamedTuple):
    """What tells a cell from all others.

    Attributes:
        scenario: The name of its scenario, empty for two routers and nothing else.
        dialer: The dialer's kind.
        exposer: The exposer's kind.
        delay_ms: One-way delay of each uplink, in milliseconds.
        loss: The share of packets that each uplink loses each way.
        ipv6: Whether there was IPv6.
    """

    scenario: str
    dialer: str
    exposer: str
    delay_ms: float
    loss: float
    ipv6: bool

    @property
    def name(self) -> str:
        """What to call it in a line of text."""
        extra = [f"{self.loss:.0%} loss"] if self.loss and not self.scenario else []
        extra += ["IPv6"] if self.ipv6 and not self.scenario else []
        return ", ".join([self.scenario or f"{self.dialer} to {self.exposer}", *extra])


@dataclass(frozen=True, slots=True, kw_only=True)
class CellResult:
    """What all sessions of a pair came to.

    Attributes:
        key: Which pair, and where.
        expectation: What the pair must come to.
        runs: The sessions.
    """

    key: CellKey
    expectation: Expectation
    runs: tuple[RunResult, ...]

    @property
    def dialer(self) -> str:
        """The dialer's kind."""
        return self.key.dialer

    @property
    def exposer(self) -> str:
        """The exposer's kind."""
        return self.key.exposer

    def joined(self, other: CellResult) -> CellResult:
        """The same cell with the sessions of both."""
        return replace(self, runs=self.runs + other.runs)

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

    def complaint(self, run: RunResult) -> str:
        """What is wrong with the end of a session; empty when it is as expected."""
        return self.expectation.complaint(run.path, run.reason, run.transport)

    @property
    def complaints(self) -> tuple[str, ...]:
        """What is not as expected, each said once."""
        said = []
        for run in self.runs:
            complaint = self.complaint(run)
            said.append(f"{complaint}: {run.problem}" if complaint and run.problem else complaint or run.problem)
        return tuple(dict.fromkeys(sentence for sentence in said if sentence))

    @property
    def as_expected(self) -> bool:
        """Whether every session came to what it must come to, with every byte right."""
        return self.bytes_ok and not self.complaints

    def to_json(self) -> dict[str, Any]:
        """Make the object for a machine to read."""
        return {
            **self.key._asdict(),
            "runs": len(self.runs),
            "connected": self.direct + self.relay,
            "direct": self.direct,
            "relay": self.relay,
            "reasons": dict(Counter(run.reason or "none given" for run in self.runs if run.path is Path.RELAY)),
            "transports": dict(Counter(run.transport for run in self.runs if run.transport)),
            "first_byte_s": percentiles([run.first_byte_s for run in self.runs]),
            "wall_first_byte_s": percentiles([run.wall_first_byte_s for run in self.runs]),
            "relay_s": percentiles([run.relay_s for run in self.runs]),
            "direct_s": percentiles([run.direct_s for run in self.runs]),
            "reason_s": percentiles([run.reason_s for run in self.runs]),
            "exchange_s": percentiles([run.exchange_s for run in self.runs]),
            "bytes_ok": self.bytes_ok,
            "expected": self.expectation.path.value,
            "expected_reason": self.expectation.reason,
            "expected_transports": sorted(self.expectation.transports),
            "needs_guess": self.expectation.needs_guess,
            "as_expected": self.as_expected,
            "complaints": list(self.complaints),
            "sessions": [run.to_json() for run in self.runs],
        }


def cell_from_json(value: Mapping[str, Any]) -> CellResult:
    """Undo `CellResult.to_json`."""
    return CellResult(
        key=CellKey(**{name: value[name] for name in CellKey._fields}),
        expectation=Expectation(
            Path(value["expected"]),
            value["expected_reason"],
            value["needs_guess"],
            frozenset(value["expected_transports"]),
        ),
        runs=tuple(run_from_json(run) for run in value["sessions"]),
    )


def percentiles(values: Sequence[float | None]) -> Mapping[str, float | None]:
    """The median, the 95th percentile and the largest of what was measured, None where nothing was."""
    known = sorted(value for value in values if value is not None)
    if not known:
        return {"p50": None, "p95": None, "max": None}
    # The smallest value that at least 95 in 100 do not exceed: with few runs that is the largest.
    rank = max(0, -(-len(known) * 95 // 100) - 1)
    return {"p50": round(statistics.median(known), 4), "p95": round(known[rank], 4), "max": round(known[-1], 4)}


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


def is_pair(cell: CellResult) -> bool:
    """Whether a cell is two routers and nothing else, so that it has a place in the square of all kinds."""
    return not cell.key.scenario and not cell.key.loss


def format_matrix(cells: Sequence[CellResult]) -> str:
    """Write pairs as text, one row for each dialer and one column for each exposer."""
    dialers, exposers = axes(cells)
    found = {(cell.dialer, cell.exposer): short_cell(cell) for cell in cells}
    rows = [[dialer, *(found.get((dialer, exposer), "") for exposer in exposers)] for dialer in dialers]
    return format_table(["dialer \\ exposer", *exposers], rows)


def format_list(cells: Sequence[CellResult]) -> str:
    """Write cells as text, one line for each."""

    def row(cell: CellResult) -> list[str]:
        reasons = ", ".join(sorted({run.reason for run in cell.runs if run.reason}))
        return [cell.key.name, f"{cell.dialer} to {cell.exposer}", short_cell(cell), reasons]

    return format_table(["cell", "kinds", "result", "reason"], [row(cell) for cell in cells])


def axes(cells: Sequence[CellResult]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The dialers' kinds and the exposers' kinds, each once, those that `natlab.kinds` knows in its order."""
    order = {name: number for number, name in enumerate(KINDS)}

    def sort(names: Iterable[str]) -> tuple[str, ...]:
        return tuple(sorted(dict.fromkeys(names), key=lambda name: order.get(name, len(order))))

    return sort(cell.dialer for cell in cells), sort(cell.exposer for cell in cells)
