"""What the matrix expects of a pair, and how it writes down what it found."""

from __future__ import annotations

import json
from html.parser import HTMLParser

import pytest
from natlab.expectation import Expectation, Path, expect
from natlab.heatmap import heatmap
from natlab.kinds import KINDS
from natlab.record import Origin, Record
from natlab.results import (
    CellKey,
    CellResult,
    RunResult,
    cell_from_json,
    format_list,
    format_matrix,
    percentiles,
    short_cell,
)
from natlab.targets import TARGETS, judge

INDEPENDENT = ("open", "fw", "full", "addr", "port", "full-np", "addr-np", "port-np", "linux", "pool-paired")
LETS_ANY_PORT_IN = ("open", "full", "addr", "full-np", "addr-np")
DEPENDENT = ("adm", "sym", "symrange", "symseq", "symseq2")


@pytest.mark.parametrize("dialer", INDEPENDENT)
@pytest.mark.parametrize("exposer", INDEPENDENT)
def test_independent_mappings_meet(dialer: str, exposer: str) -> None:
    assert expect(KINDS[dialer], KINDS[exposer]) == Expectation(Path.DIRECT)


@pytest.mark.parametrize("easy", INDEPENDENT)
@pytest.mark.parametrize("hard", DEPENDENT)
def test_dependent_mapping_meets_a_filter(easy: str, hard: str) -> None:
    out, back = expect(KINDS[hard], KINDS[easy]), expect(KINDS[easy], KINDS[hard])
    if easy in LETS_ANY_PORT_IN:
        assert out == back == Expectation(Path.DIRECT)
    else:
        assert out.path is back.path is Path.DIRECT
        assert out.needs_guess
        assert out.reason == "dependent-mapping-meets-port-filtering-there"
        assert back.reason == "dependent-mapping-meets-port-filtering-here"
        assert expect(KINDS[hard], KINDS[easy], hard=Path.EITHER).path is Path.EITHER


def test_an_address_out_of_a_pool_is_not_guessed() -> None:
    assert expect(KINDS["pool"], KINDS["port"]) == Expectation(Path.RELAY, "address-pool-here")
    assert expect(KINDS["addr"], KINDS["pool"]) == Expectation(Path.RELAY, "address-pool-there")
    assert expect(KINDS["pool"], KINDS["full"]) == Expectation(Path.DIRECT)


def test_two_dependent_mappings() -> None:
    assert expect(KINDS["sym"], KINDS["sym"]).path is Path.RELAY
    assert expect(KINDS["symseq"], KINDS["symseq"]).path is Path.DIRECT
    assert expect(KINDS["symseq"], KINDS["symseq2"]).path is Path.DIRECT
    assert expect(KINDS["symseq"], KINDS["sym"]).path is Path.RELAY
    assert expect(KINDS["sym"], KINDS["sym"]).reason == "both-mappings-dependent"


def test_blocked_udp() -> None:
    here, there = expect(KINDS["udpblock"], KINDS["open"]), expect(KINDS["open"], KINDS["udpblock"])
    assert here == Expectation(Path.RELAY, "udp-blocked-here", transports=frozenset({"tcp", "tls"}))
    assert there == Expectation(Path.RELAY, "udp-blocked-there")
    assert expect(KINDS["udpblock"], KINDS["udpblock"]) == here
    assert here.complaint(Path.RELAY, "udp-blocked-here", "udp") == "over udp, not tcp or tls"
    assert here.complaint(Path.RELAY, "udp-blocked-here", "tcp") == ""


@pytest.mark.parametrize(
    ("expectation", "path", "reason", "complaint"),
    [
        (Expectation(Path.DIRECT), Path.DIRECT, None, ""),
        (Expectation(Path.DIRECT), None, None, "not connected"),
        (Expectation(Path.DIRECT), Path.RELAY, "r", "relay (r) instead of direct"),
        (Expectation(Path.RELAY, "r"), Path.RELAY, "r", ""),
        (Expectation(Path.RELAY, "r"), Path.RELAY, "s", "relay because of s, not r"),
        (Expectation(Path.EITHER, "r"), Path.DIRECT, None, ""),
        (Expectation(Path.EITHER, "r"), Path.RELAY, None, "relay because of nothing that was said, not r"),
    ],
)
def test_complaints(expectation: Expectation, path: Path | None, reason: str | None, complaint: str) -> None:
    assert expectation.complaint(path, reason) == complaint


@pytest.mark.parametrize(
    ("values", "p50", "p95"),
    [
        ([], None, None),
        ([None], None, None),
        ([0.2], 0.2, 0.2),
        ([0.3, None, 0.1, 0.2], 0.2, 0.3),
        ([float(n) for n in range(1, 101)], 50.5, 95.0),
        ([float(n) for n in range(1, 21)], 10.5, 19.0),
    ],
)
def test_percentiles(values: list[float | None], p50: float | None, p95: float | None) -> None:
    largest = max((value for value in values if value is not None), default=None)
    assert percentiles(values) == {"p50": p50, "p95": p95, "max": largest}


def cell(dialer: str, exposer: str, *runs: RunResult, scenario: str = "", loss: float = 0.0) -> CellResult:
    expectation = expect(KINDS[dialer], KINDS[exposer], hard=Path.EITHER)
    return CellResult(
        key=CellKey(scenario, dialer, exposer, 20.0, loss, ipv6=False), expectation=expectation, runs=runs
    )


DIRECT = RunResult(
    path=Path.DIRECT, transport="udp", first_byte_s=0.1, wall_first_byte_s=0.5, direct_s=0.2, bytes_ok=True
)
RELAY = RunResult(path=Path.RELAY, reason="both-mappings-dependent", transport="udp", first_byte_s=0.1, bytes_ok=True)
NOT_CONNECTED = RunResult(path=None, problem="no <session>")


def test_json_of_a_cell() -> None:
    found = cell("symseq", "symseq", DIRECT, RELAY, NOT_CONNECTED)
    value = json.loads(json.dumps(found.to_json()))
    assert cell_from_json(value) == found
    assert [session["path"] for session in value.pop("sessions")] == ["direct", "relay", None]
    nothing = {"p50": None, "p95": None, "max": None}
    assert value == {
        "scenario": "",
        "dialer": "symseq",
        "exposer": "symseq",
        "delay_ms": 20.0,
        "loss": 0.0,
        "ipv6": False,
        "runs": 3,
        "connected": 2,
        "direct": 1,
        "relay": 1,
        "reasons": {"both-mappings-dependent": 1},
        "transports": {"udp": 2},
        "first_byte_s": {"p50": 0.1, "p95": 0.1, "max": 0.1},
        "wall_first_byte_s": {"p50": 0.5, "p95": 0.5, "max": 0.5},
        "relay_s": nothing,
        "direct_s": {"p50": 0.2, "p95": 0.2, "max": 0.2},
        "reason_s": nothing,
        "exchange_s": nothing,
        "bytes_ok": False,
        "expected": "either",
        "expected_reason": "both-mappings-dependent",
        "expected_transports": [],
        "needs_guess": True,
        "as_expected": False,
        "complaints": ["not connected: no <session>"],
    }


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (cell("port", "port", DIRECT), "D0.20"),
        (cell("sym", "sym", RELAY), "R0.10"),
        (cell("symseq", "symseq", DIRECT, RELAY, RELAY), "1D2R"),
        (cell("sym", "sym", DIRECT), "D0.20!"),
        (cell("port", "port", NOT_CONNECTED), "FAIL!"),
    ],
)
def test_short_form(result: CellResult, text: str) -> None:
    assert short_cell(result) == text


def test_table_has_dialers_in_rows() -> None:
    lines = format_matrix([cell("port", "full", DIRECT), cell("sym", "port", RELAY)]).splitlines()
    assert lines[0].split() == ["dialer", "\\", "exposer", "full", "port"]
    assert lines[2].split() == ["port", "D0.20"]
    assert lines[3].split() == ["sym", "R0.10!"]


def test_heat_map_is_one_page_that_loads_nothing() -> None:
    found: list[tuple[str, dict[str, str | None]]] = []

    class Collect(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.append((tag, dict(attrs)))

    record = Record(
        origins=[Origin(date="now", command="lab <matrix>", commit="c0", programs="p", kernel="k", cores=2)]
    )
    for one in (
        cell("port", "port", DIRECT),
        cell("sym", "sym", RELAY),
        cell("sym", "port", NOT_CONNECTED),
        cell("udpblock", "port", RELAY, scenario="blocked-dialer"),
        cell("port", "port", DIRECT, loss=0.1),
    ):
        record.add(one)
    verdicts = judge(list(TARGETS.values()), record.cells, delay_s=0.02)
    page = heatmap(record, verdicts)
    Collect().feed(page)
    assert not [tag for tag, attributes in found if tag in ("script", "link", "img") or "src" in attributes]
    assert [tag for tag, _ in found].count("table") == 3
    assert {attributes.get("scope") for tag, attributes in found if tag == "th"} == {"col", "row"}
    # Every word of colour has its letter beside it.
    assert "<b>D</b> 100%" in page
    assert "<b>!</b> <b>X</b> 0%" in page
    assert "no &lt;session&gt;" in page
    assert "lab &lt;matrix&gt;" in page
    assert "<session>" not in page


def test_cells_that_are_no_pairs_are_listed() -> None:
    lines = format_list([cell("udpblock", "port", RELAY, scenario="blocked-dialer")]).splitlines()
    assert lines[2].split() == ["blocked-dialer", "udpblock", "to", "port", "R0.10!", "both-mappings-dependent"]
