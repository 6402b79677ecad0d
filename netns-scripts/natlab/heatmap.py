"""The matrix as one HTML page that needs nothing else."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Final

from .results import CellResult, axes, percentiles, short_cell

# Direct at once is green, direct late is yellow.
_SLOWEST_S: Final = 5.0
_HUE_FAST: Final = 130
_HUE_SLOW: Final = 50
_STYLE: Final = """
body { font: 14px/1.4 system-ui, sans-serif; margin: 2em; color: #222; background: #fff; }
table { border-collapse: collapse; margin: 1em 0; }
th, td { border: 1px solid #fff; padding: .4em .6em; text-align: center; }
th { font-weight: 600; background: #f2f2f2; }
td.relay { background: #a9c4e8; } td.mixed { background: #e8d9a9; } td.fail { background: #e89a9a; }
td.wrong { outline: 3px solid #c00; outline-offset: -3px; }
small { display: block; color: #444; white-space: nowrap; }
"""


def heatmap(cells: Sequence[CellResult], *, delay_ms: float) -> str:
    """Write the page.

    Args:
        cells: What was found.
        delay_ms: One-way delay of each uplink, in milliseconds.
    """
    found = {(cell.dialer, cell.exposer): cell for cell in cells}
    dialers, exposers = axes(cells)
    head = "".join(f"<th>{html.escape(exposer)}</th>" for exposer in exposers)
    rows = []
    for dialer in dialers:
        data = "".join(_cell(found.get((dialer, exposer))) for exposer in exposers)
        rows.append(f"<tr><th>{html.escape(dialer)}</th>{data}</tr>\n")
    wrong = "".join(
        f"<li>{html.escape(cell.dialer)} to {html.escape(cell.exposer)}: {html.escape('; '.join(cell.complaints))}</li>"
        for cell in cells
        if not cell.as_expected
    )
    direct = sum(cell.direct for cell in cells)
    relay = sum(cell.relay for cell in cells)
    runs = sum(len(cell.runs) for cell in cells)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Pairs of NATs</title>'
        f"<style>{_STYLE}</style></head><body>\n<h1>Pairs of NATs</h1>\n"
        f"<p>{runs} sessions, {delay_ms:g} ms one way on each uplink: {direct} direct, {relay} over the relay, "
        f"{runs - direct - relay} failed. D: direct, with the median time until then. R: relay, with the median time "
        "until the first byte. A red frame: not as expected.</p>\n"
        f"<table><tr><th>dialer \\ exposer</th>{head}</tr>\n{''.join(rows)}</table>\n"
        + (f"<h2>Not as expected</h2><ul>{wrong}</ul>\n" if wrong else "")
        + "</body></html>\n"
    )


def _cell(cell: CellResult | None) -> str:
    if cell is None:
        return "<td></td>"
    classes, style = [], ""
    if cell.direct and cell.relay:
        classes.append("mixed")
    elif cell.direct:
        median = percentiles([run.direct_s for run in cell.runs])["p50"] or 0.0
        hue = _HUE_FAST + (_HUE_SLOW - _HUE_FAST) * min(1.0, median / _SLOWEST_S)
        style = f' style="background: hsl({hue:.0f} 55% 70%)"'
    else:
        classes.append("relay" if cell.relay else "fail")
    if not cell.as_expected:
        classes.append("wrong")
    reasons = ", ".join(sorted({run.reason for run in cell.runs if run.reason}))
    title = html.escape("; ".join(part for part in (reasons, *cell.complaints) if part), quote=True)
    first = percentiles([run.first_byte_s for run in cell.runs])["p50"]
    note = "" if first is None else f"<small>first byte {first:.2f} s</small>"
    return f'<td class="{" ".join(classes)}"{style} title="{title}">{html.escape(short_cell(cell))}{note}</td>'
