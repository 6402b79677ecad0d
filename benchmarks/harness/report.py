"""Results as text and as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any, Final

_BAR: Final = 18
_LEFT: Final = 120
_WIDTH: Final = 640


def table(results: Sequence[dict[str, Any]]) -> str:
    """Write all results as one table: who, the median, all runs, and how many times as good ours is."""
    lines = []
    for result in results:
        lines.append(f"{result['title']}, {result['unit']}, {result['better']} is better ({result['place']})")
        for name, figures in _rows(result):
            ratio = figures.get("ratio")
            factor = ratio if result["better"] == "higher" or not ratio else 1 / ratio
            beside = f"ours is {factor:.3g} times as good" if factor else ""
            runs = " ".join(f"{run:g}" for run in figures["runs"])
            lines.append(f"  {name:14} {figures['median']:>10g}   {beside:32} runs {runs}")
        lines += [f"  {name:14} {'-':>10}   {reason}" for name, reason in result["skipped"].items()]
        lines.append("")
    return "\n".join(lines)


def bars(result: dict[str, Any]) -> str:
    """Draw one result as horizontal bars, in SVG."""
    rows = _rows(result)
    most = max(figures["median"] for _, figures in rows)
    height = (len(rows) + 2) * (_BAR + 8)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH + _LEFT + 90} {height}" '
        'font-family="sans-serif" font-size="13">',
        f'<text x="0" y="16" font-weight="bold">{escape(result["title"])}, {escape(result["unit"])}</text>',
    ]
    for number, (name, figures) in enumerate(rows):
        y = 30 + number * (_BAR + 8)
        width = max(1.0, figures["median"] / most * _WIDTH)
        colour = "#2563eb" if name.startswith("ours") else "#9ca3af"
        parts += [
            f'<text x="{_LEFT - 8}" y="{y + 14}" text-anchor="end">{escape(name)}</text>',
            f'<rect x="{_LEFT}" y="{y}" width="{width:.1f}" height="{_BAR}" fill="{colour}"/>',
            f'<text x="{_LEFT + width + 6:.1f}" y="{y + 14}">{figures["median"]:g}</text>',
        ]
    return "\n".join([*parts, "</svg>", ""])


def _rows(result: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    rows = list(result["peers"].items())
    if result["ours"] is not None:
        rows.insert(0, ("ours", result["ours"]))
    return sorted(rows, key=lambda row: row[1]["median"], reverse=result["better"] == "higher")
