"""What the matrix sets out to reach: scenarios that can be built, bounds that are compared, files that add up."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path as FilePath

import pytest
from natlab.bounds import Bounds, bounds_of
from natlab.errors import LabError
from natlab.expectation import Expectation, Path
from natlab.kinds import KINDS
from natlab.plan import plan_routers
from natlab.record import Origin, Record, load_record, merged
from natlab.results import CellResult, RunResult
from natlab.setups import SCENARIOS, pair_setup, scenario_setup
from natlab.targets import TARGETS, format_verdicts, judge, judge_all, target_setups, targets_named

DIRECT = RunResult(path=Path.DIRECT, first_byte_s=0.1, relay_s=0.1, direct_s=0.2, bytes_ok=True)
ORIGIN = Origin(date="2026-01-02 03:04", command="lab matrix", commit="abc", programs="p2p", kernel="Linux", cores=2)


def result(dialer: str, exposer: str, *runs: RunResult, loss: float = 0.0) -> CellResult:
    setup = pair_setup(dialer, exposer, delay_s=0.02, loss=loss)
    return CellResult(key=setup.key, expectation=setup.expectation, runs=runs)


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenarios_can_be_built(name: str) -> None:
    setup = scenario_setup(name, delay_s=0.02)
    assert plan_routers(setup.topology)
    hosts = {host for router in setup.topology.routers for host in router.host_names}
    assert {setup.dialer_host, setup.exposer_host} <= hosts
    assert setup.dialer_host != setup.exposer_host
    assert setup.key.scenario == setup.key.name == name
    assert setup.summary
    assert (setup.expectation.reason is None) or setup.expectation.path is Path.RELAY or setup.takes_time


def test_unknown_names_are_told_with_the_known_ones() -> None:
    with pytest.raises(LabError, match=r"(?s)no scenario 'wlan'.*hairpin"):
        scenario_setup("wlan", delay_s=0)
    with pytest.raises(LabError, match=r"(?s)no target 'best'.*independent"):
        targets_named(["best"])
    with pytest.raises(LabError, match="no kind"):
        pair_setup("cone", "port", delay_s=0)


def test_with_ipv6_every_two_meet_that_have_udp() -> None:
    assert pair_setup("sym", "sym", delay_s=0, ipv6=True).expectation == Expectation(Path.DIRECT)
    assert pair_setup("udpblock", "sym", delay_s=0, ipv6=True).expectation.reason == "udp-blocked-here"


def test_every_target_has_cells_and_every_cell_its_bounds() -> None:
    assert targets_named(["all"]) == list(TARGETS.values())
    for target in TARGETS.values():
        setups = target_setups(target, delay_s=0.02)
        assert setups
        assert all(str(setup.bounds) for setup in setups)
    assert len(target_setups(TARGETS["loss"], delay_s=0.02)) == 2 * len(TARGETS["loss"].pairs)


@pytest.mark.parametrize(
    ("dialer", "exposer", "bounds"),
    [
        ("full", "port-np", Bounds(direct_s=0.35, first_byte_s=0.2)),
        ("sym", "addr", Bounds(direct_s=0.5)),
        ("full", "symseq", Bounds(direct_s=0.5)),
        ("port", "symseq", Bounds(success=0.99, direct_s=1.0)),
        ("sym", "port", Bounds(success=0.98, direct_p50_s=4.0)),
        ("symseq", "symseq", Bounds(success=0.95, direct_s=2.0)),
        ("sym", "sym", Bounds(relay_s=0.2, reason_s=2.0, peer_packets=100)),
        ("udpblock", "port", Bounds(first_byte_s=0.4)),
    ],
)
def test_bounds_of_pairs(dialer: str, exposer: str, bounds: Bounds) -> None:
    assert pair_setup(dialer, exposer, delay_s=0.02).bounds == bounds
    assert bounds_of(KINDS[dialer], KINDS[exposer], pair_setup(dialer, exposer, delay_s=0).expectation.path) == bounds


@pytest.mark.parametrize(
    ("bounds", "run", "misses"),
    [
        (Bounds(direct_s=0.2), DIRECT, ()),
        (Bounds(direct_s=0.1), DIRECT, ("direct p95 0.20 s, not 0.1 s",)),
        (Bounds(direct_p50_s=0.1), DIRECT, ("direct p50 0.20 s, not 0.1 s",)),
        (Bounds(first_byte_s=0.05), DIRECT, ("first byte p95 0.10 s, not 0.05 s",)),
        (Bounds(relay_s=0.05), DIRECT, ("relay p95 0.10 s, not 0.05 s",)),
        (Bounds(), replace(DIRECT, direct_s=16.0), ("success 0%, not 100%",)),
        (Bounds(), replace(DIRECT, bytes_ok=False), ("success 0%, not 100%",)),
        (Bounds(success=0.0), RunResult(path=None, problem="no session"), ()),
        (
            Bounds(success=0.0, peer_packets=9),
            RunResult(path=Path.RELAY, peer_packets=10),
            ("10 packets to the other router, not 9",),
        ),
    ],
)
def test_misses(bounds: Bounds, run: RunResult, misses: tuple[str, ...]) -> None:
    assert bounds.misses(result("port", "port", run)) == misses


def test_share_of_successes_is_compared() -> None:
    cell = result("port", "port", *[DIRECT] * 19, RunResult(path=None))
    assert Bounds(success=0.95).misses(cell) == ()
    assert Bounds(success=0.96).misses(cell) == ("success 95%, not 96%",)


def test_loss_is_compared_with_no_loss() -> None:
    base, slow = result("port", "port", DIRECT), replace(DIRECT, direct_s=0.41)
    lossy = result("port", "port", slow, loss=0.1)
    (alone,) = judge([TARGETS["loss"]], {lossy.key: lossy}, delay_s=0.02)
    assert alone.misses == ("not compared with no loss",)
    (verdict,) = judge([TARGETS["loss"]], {base.key: base, lossy.key: lossy}, delay_s=0.02)
    assert verdict.misses == ("direct p50 0.41 s, 0.20 s without loss",)
    assert "medians <= 2 x those without" in verdict.bound_text
    fast = result("port", "port", replace(DIRECT, direct_s=0.4), loss=0.1)
    (verdict,) = judge([TARGETS["loss"]], {base.key: base, fast.key: fast}, delay_s=0.02)
    assert verdict.misses == ()


def test_every_cell_can_be_compared() -> None:
    cells = [result("adm", "pool", RunResult(path=Path.RELAY, reason="both-mappings-dependent", bytes_ok=True))]
    cells += [result("port", "port", DIRECT), result("port", "port", DIRECT, loss=0.1)]
    loss = scenario_setup("loss", delay_s=0.02)
    cells.append(CellResult(key=loss.key, expectation=loss.expectation, runs=(DIRECT,)))
    verdicts = judge_all({cell.key: cell for cell in cells})
    assert [verdict.cell for verdict in verdicts] == cells
    assert [verdict.misses for verdict in verdicts] == [()] * 4


def test_verdicts_are_told() -> None:
    good, bad = result("port", "port", DIRECT), result("fw", "port", replace(DIRECT, direct_s=9.0))
    verdicts = judge([TARGETS["independent"]], {cell.key: cell for cell in (good, bad)}, delay_s=0.02)
    assert [bool(verdict.misses) for verdict in verdicts] == [False, True]
    lines = format_verdicts(verdicts).splitlines()
    assert "pass" in lines[2]
    assert "FAIL" in lines[3]
    assert "direct p95 9.00 s, not 0.35 s" in lines[3]
    value = json.loads(json.dumps(verdicts[1].to_json()))
    assert (value["target"], value["dialer"], value["pass"]) == ("independent", "fw", False)
    assert value["measured_s"] == {"p50": 9.0, "p95": 9.0, "max": 9.0}


def test_files_add_up(tmp_path: FilePath) -> None:
    one, two = Record(origins=[ORIGIN]), Record(origins=[replace(ORIGIN, date="2026-01-01 00:00")])
    one.add(result("port", "port", DIRECT))
    two.add(result("port", "port", DIRECT, DIRECT))
    two.add(result("sym", "sym", RunResult(path=Path.RELAY, reason="both-mappings-dependent", bytes_ok=True)))
    for name, record in (("one", one), ("two", two)):
        record.save(tmp_path / name)
    whole = merged([load_record(tmp_path / "one"), load_record(tmp_path / "two")])
    assert [origin.date for origin in whole.origins] == ["2026-01-01 00:00", "2026-01-02 03:04"]
    assert [len(cell.runs) for cell in whole.cells.values()] == [3, 1]
    assert whole.sessions(result("port", "port").key) == 3
    assert whole.sessions(result("fw", "port").key) == 0
    assert whole.to_json()["delay_ms"] == 20.0


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"made": [], "cells": [{"dialer": "port"}]}'])
def test_what_is_no_record_is_refused(text: str, tmp_path: FilePath) -> None:
    (tmp_path / "f").write_text(text)
    with pytest.raises(LabError, match="no record"):
        load_record(tmp_path / "f")
    with pytest.raises(LabError, match="cannot read"):
        load_record(tmp_path / "g")
