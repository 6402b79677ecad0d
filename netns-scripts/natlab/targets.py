"""What the toolkit has set out to reach, row by row: which pairs, within which bounds, and whether they do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from .bounds import Bounds
from .errors import LabError
from .expectation import Path
from .results import CellKey, CellResult, percentiles
from .setups import LOSS, Setup, pair_setup, scenario_setup
from .tables import format_table

TARGET_RUNS: Final = 20
# With a tenth of all packets lost, medians may be this many times those without loss.
_LOSS_FACTOR: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One row.

    Attributes:
        name: What to call it.
        text: What it is about.
        pairs: Dialer and exposer, by kind.
        scenarios: Scenarios by name.
        with_loss: Whether the pairs are run with loss too, and compared.
    """

    name: str
    text: str
    pairs: tuple[tuple[str, str], ...] = ()
    scenarios: tuple[str, ...] = ()
    with_loss: bool = False


def _both_orders(*pairs: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(order for one, other in pairs for order in ((one, other), (other, one)))


TARGETS: Final = {
    target.name: target
    for target in (
        Target(
            name="independent",
            text="independent mappings, any filtering",
            pairs=(("port", "port"), ("full", "port-np"), ("addr-np", "port"), ("fw", "port")),
        ),
        Target(
            name="dependent",
            text="a dependent mapping, and no filter by port",
            pairs=_both_orders(("sym", "full"), ("sym", "addr"), ("symseq", "full"), ("symseq", "addr")),
        ),
        Target(
            name="sequential",
            text="sequential ports and a filter by port",
            pairs=_both_orders(("symseq", "port")),
        ),
        Target(name="random", text="random ports and a filter by port", pairs=_both_orders(("sym", "port"))),
        Target(name="both-sequential", text="sequential ports on both sides", pairs=(("symseq", "symseq"),)),
        Target(name="both-random", text="random ports on both sides", pairs=(("sym", "sym"),)),
        Target(
            name="near",
            text="IPv6 firewalls, one LAN with and without a server, hairpin",
            scenarios=("ipv6", "lan", "lan-alone", "hairpin", "carrier-hairpin"),
        ),
        Target(
            name="forwarded",
            text="random ports on both sides, a router forwards one",
            scenarios=("portmap-here", "portmap-there"),
        ),
        Target(name="blocked", text="UDP blocked on a side", scenarios=("blocked-dialer", "blocked-exposer")),
        Target(
            name="loss",
            text="10 % loss on both links",
            pairs=(("port", "port"), ("sym", "full"), ("symseq", "port"), ("sym", "sym")),
            with_loss=True,
        ),
    )
}


def targets_named(names: Iterable[str]) -> list[Target]:
    """Find rows by name; ``all`` is all of them.

    Raises:
        LabError: There is none of that name.
    """
    found = []
    for name in names:
        if name != "all" and name not in TARGETS:
            raise LabError(f"there is no target {name!r}", f"Known: all, {', '.join(TARGETS)}.")
        found += list(TARGETS.values()) if name == "all" else [TARGETS[name]]
    return found


def target_setups(target: Target, *, delay_s: float) -> list[Setup]:
    """Set up the cells of a row; of one with loss first those without."""
    setups = [pair_setup(*pair, delay_s=delay_s) for pair in target.pairs]
    if target.with_loss:
        setups += [pair_setup(*pair, delay_s=delay_s, loss=LOSS) for pair in target.pairs]
    return setups + [scenario_setup(name, delay_s=delay_s) for name in target.scenarios]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of one cell of a row.

    Attributes:
        target: The row's name.
        cell: What was found.
        bounds: What it had to be.
        misses: What is out of bounds; empty for nothing.
    """

    target: str
    cell: CellResult
    bounds: Bounds
    misses: tuple[str, ...]

    @property
    def bound_text(self) -> str:
        """The bounds in words."""
        factor = f", medians <= {_LOSS_FACTOR:g} x those without" if self.cell.key.loss else ""
        return f"{self.bounds}{factor}"

    @property
    def main(self) -> tuple[str, Mapping[str, float | None]]:
        """The figure that the row is about, by name: until direct, until the relay, or the first byte."""
        if self.cell.expectation.path is not Path.RELAY:
            return "direct", percentiles([run.direct_s for run in self.cell.runs])
        if self.bounds.first_byte_s is not None:
            return "first byte", percentiles([run.first_byte_s for run in self.cell.runs])
        return "relay", percentiles([run.relay_s for run in self.cell.runs])

    def to_json(self) -> dict[str, Any]:
        """Make the object for a machine to read."""
        name, values = self.main
        return {
            "target": self.target,
            **self.cell.key._asdict(),
            "bound": self.bound_text,
            "runs": len(self.cell.runs),
            "successes": self.bounds.successes(self.cell),
            "figure": name,
            "measured_s": values,
            "first_byte_s": percentiles([run.first_byte_s for run in self.cell.runs]),
            "pass": not self.misses,
            "misses": list(self.misses),
        }


def judge(targets: Sequence[Target], cells: Mapping[CellKey, CellResult], *, delay_s: float) -> list[Verdict]:
    """Compare what was found with what was to be reached; cells that are not there are left out.

    Args:
        targets: The rows.
        cells: What was found.
        delay_s: One-way delay of each uplink, in seconds.
    """
    return [
        _verdict(target.name, setup, cells)
        for target in targets
        for setup in target_setups(target, delay_s=delay_s)
        if setup.key in cells and not (target.with_loss and not setup.key.loss)
    ]


def judge_all(cells: Mapping[CellKey, CellResult]) -> list[Verdict]:
    """Compare every cell with its bounds, whether it is in a row or not."""
    verdicts = []
    for key in cells:
        delay_s = key.delay_ms / 1e3
        if key.scenario:
            setup = scenario_setup(key.scenario, delay_s=delay_s)
        else:
            setup = pair_setup(key.dialer, key.exposer, delay_s=delay_s, loss=key.loss, ipv6=key.ipv6)
        verdicts.append(_verdict("", setup, cells))
    return verdicts


def _verdict(target: str, setup: Setup, cells: Mapping[CellKey, CellResult]) -> Verdict:
    """Compare a cell with its bounds; one with loss has to be as good as without, but for the time it takes."""
    cell, bounds = cells[setup.key], setup.bounds
    if not setup.key.loss:
        return Verdict(target=target, cell=cell, bounds=bounds, misses=bounds.misses(cell))
    bounds = Bounds(success=bounds.success)
    lossless = pair_setup(setup.key.dialer, setup.key.exposer, delay_s=setup.key.delay_ms / 1e3, ipv6=setup.key.ipv6)
    misses = (*bounds.misses(cell), *_slower(cell, cells.get(lossless.key)))
    return Verdict(target=target, cell=cell, bounds=bounds, misses=misses)


def _slower(lossy: CellResult, lossless: CellResult | None) -> tuple[str, ...]:
    """Say which medians grew by more than loss excuses."""
    if lossless is None:
        return ("not compared with no loss",)
    found = []
    for name, attribute in (("direct", "direct_s"), ("first byte", "first_byte_s"), ("relay", "relay_s")):
        before, after = (
            percentiles([getattr(run, attribute) for run in cell.runs])["p50"] for cell in (lossless, lossy)
        )
        if before is not None and after is not None and after > _LOSS_FACTOR * before:
            found.append(f"{name} p50 {after:.2f} s, {before:.2f} s without loss")
    return tuple(found)


def format_verdicts(verdicts: Sequence[Verdict]) -> str:
    """Write the rows as text."""
    rows = []
    for verdict in verdicts:
        name, values = verdict.main
        first = percentiles([run.first_byte_s for run in verdict.cell.runs])
        share = f"{verdict.bounds.successes(verdict.cell)}/{len(verdict.cell.runs)}"
        figures = f"{name} {seconds(values['p50'])} {seconds(values['p95'])}"
        rows.append(
            [
                verdict.target,
                verdict.cell.key.name,
                verdict.bound_text,
                share,
                figures,
                f"{seconds(first['p50'])} {seconds(first['p95'])}",
                "FAIL" if verdict.misses else "pass",
                "; ".join(verdict.misses),
            ]
        )
    header = ["row", "pair", "bound", "success", "p50 p95 (s)", "first byte p50 p95", "", ""]
    return format_table(header, rows)


def seconds(value: float | None) -> str:
    """A time with two digits after the point, or a dash."""
    return "-" if value is None else f"{value:.2f}"
