"""The matrix as one HTML page that needs nothing else: no script, no file, no colour that is not also a word."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Final

from .kinds import KINDS
from .record import Record
from .results import CellResult, axes, is_pair, percentiles
from .setups import SCENARIOS, scenario_setup
from .targets import Verdict, seconds

# Medians until the path is direct, in seconds, and the shade that each has.
_SHADES: Final = ((0.35, "d1"), (1.0, "d2"), (5.0, "d3"), (float("inf"), "d4"))
# Blue and orange are told apart by everybody, and each shade has its text beside it. Contrast of all texts is 7:1 or
# more, in both schemes.
_STYLE: Final = """
:root { color-scheme: light dark; --fg: #111; --bg: #fff; --line: #bbb; --head: #eee; --bad: #a00000;
 --d1: #b3d4f0; --d2: #cde3f6; --d3: #e2effa; --d4: #f4f9fd; --relay: #fbd9a5; --mixed: #ece3c8; --fail: #444;
 --failfg: #fff; }
@media (prefers-color-scheme: dark) { :root { --fg: #f2f2f2; --bg: #16181b; --line: #555; --head: #26292d;
 --bad: #ffb3a8; --d1: #0b4a80; --d2: #103a5f; --d3: #152d45; --d4: #182430; --relay: #6a4300; --mixed: #4a4427;
 --fail: #ddd; --failfg: #111; } }
body { font: 15px/1.45 system-ui, sans-serif; margin: 1.5em auto; padding: 0 1em; color: var(--fg);
 background: var(--bg); }
p, ul, dl { max-width: 50em; }
.wide { overflow: auto; max-height: 90vh; border: 1px solid var(--line); }
table { border-collapse: separate; border-spacing: 1px; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding: .3em; }
th, td { padding: .3em .5em; text-align: center; white-space: nowrap; }
th { background: var(--head); font-weight: 600; }
thead th { position: sticky; top: 0; z-index: 1; }
thead th:first-child { left: 0; z-index: 2; }
th[scope=row] { position: sticky; left: 0; text-align: left; }
td small { display: block; font-size: 12.5px; }
td.text { text-align: left; white-space: normal; }
.d1 { background: var(--d1); } .d2 { background: var(--d2); } .d3 { background: var(--d3); }
.d4 { background: var(--d4); } .relay { background: var(--relay); } .mixed { background: var(--mixed); }
.fail { background: var(--fail); color: var(--failfg); }
.wrong { outline: 3px dashed var(--bad); outline-offset: -3px; }
.miss { color: var(--bad); font-weight: 700; }
.legend span { display: inline-block; padding: .1em .6em; margin: .1em; border: 1px solid var(--line); }
.v { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
"""
_LEGEND: Final = """<p class="legend"><span class="d1">D direct, median up to 0.35 s</span>
<span class="d2">up to 1 s</span><span class="d3">up to 5 s</span><span class="d4">later</span>
<span class="relay">R relay</span>
<span class="mixed">DR some of each</span><span class="fail">X no session</span>
<span class="wrong">! not as it must be</span></p>
<p>In a cell: D or R, and the share of sessions that came to what they must; 1st: seconds to the first byte
through the tunnel; dir: seconds until the path was direct. Each is the median and the 95th percentile, from the start
of signalling in the dialer.</p>
"""


def heatmap(record: Record, verdicts: Sequence[Verdict]) -> str:
    """Write the page.

    Args:
        record: What was found, and where that comes from.
        verdicts: How it compares with what was to be reached.
    """
    cells = list(record.cells.values())
    pairs = [cell for cell in cells if is_pair(cell)]
    others = [cell for cell in cells if not is_pair(cell)]
    runs = sum(len(cell.runs) for cell in cells)
    direct, relay = sum(cell.direct for cell in cells), sum(cell.relay for cell in cells)
    delays = [f"{delay:g}" for delay in sorted({cell.key.delay_ms for cell in cells})]
    wrong = [cell for cell in cells if not cell.as_expected]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><title>Pairs of NATs</title>'
        f"<style>{_STYLE}</style></head><body><main>\n<h1>Pairs of NATs</h1>\n"
        f"<p>{runs} sessions of the real programs in {len(cells)} cells, {', '.join(delays)} ms "
        f"one way on each uplink: {direct} direct, {relay} over the relay, {runs - direct - relay} failed. "
        f"{len(cells) - len(wrong)} cells are as they must be.</p>\n{_LEGEND}"
        + (_square(pairs) if pairs else "")
        + (_list(others) if others else "")
        + (_targets(verdicts) if verdicts else "")
        + (_wrong(wrong) if wrong else "")
        + _kinds(pairs)
        + _origins(record)
        + "</main></body></html>\n"
    )


def _scrolling(title: str, identity: str, table: str) -> str:
    return (
        f'<h2 id="{identity}">{title}</h2>\n'
        f'<div class="wide" role="region" aria-labelledby="{identity}" tabindex="0">{table}</div>\n'
    )


def _square(cells: Sequence[CellResult]) -> str:
    found = {(cell.dialer, cell.exposer): cell for cell in cells}
    dialers, exposers = axes(cells)
    head = "".join(f'<th scope="col">{html.escape(exposer)}</th>' for exposer in exposers)
    rows = []
    for dialer in dialers:
        data = "".join(_cell(found.get((dialer, exposer))) for exposer in exposers)
        rows.append(f'<tr><th scope="row">{html.escape(dialer)}</th>{data}</tr>\n')
    return _scrolling(
        "Every pair of kinds",
        "pairs",
        f"<table><caption>The dialer's kind in rows, the exposer's in columns</caption><thead><tr><th scope=\"col\">"
        f"dialer \\ exposer</th>{head}</tr></thead><tbody>\n{''.join(rows)}</tbody></table>",
    )


def _list(cells: Sequence[CellResult]) -> str:
    rows = []
    for cell in sorted(cells, key=lambda cell: (cell.key.scenario, cell.key.loss, cell.dialer, cell.exposer)):
        summary = scenario_setup(cell.key.scenario, delay_s=0).summary if cell.key.scenario in SCENARIOS else ""
        reasons = ", ".join(sorted({run.reason for run in cell.runs if run.reason}))
        text = html.escape(summary or f"{cell.dialer} to {cell.exposer}")
        rows.append(
            f'<tr><th scope="row">{html.escape(cell.key.name)}</th><td class="text">{text}</td>'
            f'{_cell(cell)}<td class="text">{html.escape(reasons)}</td></tr>\n'
        )
    return _scrolling(
        "Scenarios",
        "scenarios",
        '<table><thead><tr><th scope="col">name</th><th scope="col">what it is</th><th scope="col">result</th>'
        f'<th scope="col">reason for the relay</th></tr></thead><tbody>\n{"".join(rows)}</tbody></table>',
    )


def _targets(verdicts: Sequence[Verdict]) -> str:
    rows = []
    for verdict in verdicts:
        name, values = verdict.main
        success = f"{verdict.bounds.successes(verdict.cell)} of {len(verdict.cell.runs)}"
        first = percentiles([run.first_byte_s for run in verdict.cell.runs])
        misses = html.escape("; ".join(verdict.misses))
        result = f'<span class="miss">FAIL: {misses}</span>' if misses else "pass"
        rows.append(
            f'<tr><th scope="row">{html.escape(verdict.target)}</th><td>{html.escape(verdict.cell.key.name)}</td>'
            f'<td class="text">{html.escape(verdict.bound_text)}</td><td>{success}</td>'
            f"<td>{name} {seconds(values['p50'])} {seconds(values['p95'])}</td>"
            f'<td>{seconds(first["p50"])} {seconds(first["p95"])}</td><td class="text">{result}</td></tr>\n'
        )
    columns = ("row", "pair", "bound", "success", "p50 and p95 (s)", "first byte (s)", "")
    head = "".join(f'<th scope="col">{column}</th>' for column in columns)
    return _scrolling(
        "Targets", "targets", f"<table><thead><tr>{head}</tr></thead><tbody>\n{''.join(rows)}</tbody></table>"
    )


def _wrong(cells: Sequence[CellResult]) -> str:
    items = "".join(
        f"<li>{html.escape(cell.key.name)}: {html.escape('; '.join(cell.complaints))}</li>\n" for cell in cells
    )
    return f"<h2>Not as it must be</h2>\n<ul>{items}</ul>\n"


def _kinds(cells: Sequence[CellResult]) -> str:
    names = [name for axis in axes(cells) for name in axis if name in KINDS]
    items = "".join(f"<dt>{name}</dt><dd>{html.escape(KINDS[name].summary)}</dd>\n" for name in dict.fromkeys(names))
    return f"<h2>Kinds</h2>\n<dl>{items}</dl>\n" if items else ""


def _origins(record: Record) -> str:
    items = "".join(
        f"<li>{html.escape(origin.date)} UTC, commit {html.escape(origin.commit)}, {html.escape(origin.programs)}, "
        f"{html.escape(origin.kernel)}, {origin.cores} cores: <code>{html.escape(origin.command)}</code></li>\n"
        for origin in record.origins
    )
    return f"<h2>How this was made</h2>\n<ul>{items}</ul>\n"


def _shade(cell: CellResult) -> str:
    if cell.direct and cell.relay:
        return "mixed"
    if not cell.direct:
        return "relay" if cell.relay else "fail"
    median = percentiles([run.direct_s for run in cell.runs])["p50"] or 0.0
    return next(shade for limit, shade in _SHADES if median <= limit)


def _cell(cell: CellResult | None) -> str:
    if cell is None:
        return "<td></td>"
    mark = "D" * bool(cell.direct) + "R" * bool(cell.relay) or "X"
    good = sum(run.bytes_ok and not cell.complaint(run) for run in cell.runs)
    lines = [f"<b>{mark}</b> {good / len(cell.runs):.0%}"]
    for name, values in (
        ("1st", percentiles([run.first_byte_s for run in cell.runs])),
        ("dir", percentiles([run.direct_s for run in cell.runs])),
    ):
        if values["p50"] is not None:
            lines.append(f"<small>{name} {seconds(values['p50'])} {seconds(values['p95'])}</small>")
    if cell.as_expected:
        return f'<td class="{_shade(cell)}">{"".join(lines)}</td>'
    said = html.escape("; ".join(cell.complaints))
    return f'<td class="{_shade(cell)} wrong"><b>!</b> {"".join(lines)}<span class="v">{said}</span></td>'
