"""The results as JSON and as a table."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from benchmarks.relay.scenarios import Figures, Scenario

Runs: TypeAlias = Mapping[str, Sequence[Figures]]
"""What was measured, by the relay's name; each list in the order of the runs."""


def figure(scenario: Scenario, runs: Runs, skipped: Mapping[str, str], version: str | None) -> dict[str, Any]:
    """Sum one scenario up.

    Args:
        scenario: What was measured.
        runs: The measurements.
        skipped: Relays that were not measured, and why.
        version: Coturn's.
    """
    ours = _summary(runs["ours"])
    peers = {}
    for name, measured in runs.items():
        if name != "ours":
            peer = _summary(measured)
            ratio = ours["median"] / peer["median"] if peer["median"] else None
            peers[name] = {"version": version, **peer, "ratio": ratio}
    return {
        "figure": f"relay_{scenario.name}",
        "title": scenario.title,
        "unit": scenario.unit,
        "better": scenario.better,
        "ours": ours,
        "peers": peers,
        "skipped": dict(skipped),
    }


def table(figures: Sequence[Mapping[str, Any]], scenarios: Sequence[Scenario]) -> str:
    """Render results as a Markdown table."""
    lines = [
        "| scenario | unit | ours | coturn | ratio | goal | s/GiB ours | s/GiB coturn |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for found, scenario in zip(figures, scenarios, strict=True):
        ours, peer = found["ours"], found["peers"].get("coturn")
        cells = [scenario.title, scenario.unit, _number(ours["median"])]
        cells += [_number(peer["median"]), _number(peer["ratio"])] if peer else ["-", "-"]
        cells += [_goal(scenario), _beside(ours, "cpu_s_per_gib"), _beside(peer, "cpu_s_per_gib")]
        lines.append(f"| {' | '.join(cells)} |")
        for key in ("latency_p99_ms", "flood_mbit_per_s"):
            if key in ours["beside"]:
                lines.append(f"| - {key} | | {_beside(ours, key)} | {_beside(peer, key)} | | | | |")
    return "\n".join(lines)


def _summary(runs: Sequence[Figures]) -> dict[str, Any]:
    values = [run["value"] for run in runs]
    beside = {key: statistics.median(run[key] for run in runs) for key in runs[0] if key != "value"}
    return {"median": statistics.median(values), "runs": values, "beside": beside}


def _goal(scenario: Scenario) -> str:
    if scenario.goal_value is not None:
        return f"<= {scenario.goal_value:g}"
    if not scenario.goal:
        return "-"
    return f"{'>=' if scenario.better == 'higher' else '<='} {scenario.goal:g}x"


def _beside(side: Mapping[str, Any] | None, key: str) -> str:
    return _number(side["beside"][key]) if side is not None and key in side["beside"] else "-"


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
