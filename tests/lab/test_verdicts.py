"""``p2p nat`` behind routers of several kinds: the real program says what they do."""

from __future__ import annotations

import os
import threading

import pytest
from natlab.expected_verdict import wrong_and_unknown
from natlab.kinds import KINDS, kind_named
from natlab.programs import find_program
from natlab.shapes import LinkShape
from natlab.verdicts import Case, run_case

pytestmark = pytest.mark.root


@pytest.mark.parametrize(
    ("kind", "hairpin", "busy_per_s"), [("port", True, 0.0), ("symseq2", False, 50.0), ("udpblock", False, 0.0)]
)
def test_verdicts(kind: str, hairpin: bool, busy_per_s: float) -> None:
    case = Case(
        kind=kind_named(kind),
        runs=1,
        hairpin=hairpin,
        busy_per_s=busy_per_s,
        link=LinkShape(delay_s=0.005),
        command=find_program(),
        flags=("--no-classic",),
    )
    outcome = run_case(case, prefix=f"tv{os.getpid()}{kind}", stop=threading.Event())
    assert (outcome.runs, dict(outcome.wrong), dict(outcome.unknown)) == (1, {}, {})


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_a_report_of_nothing_is_not_right(kind) -> None:  # type: ignore[no-untyped-def]
    wrong, unknown = wrong_and_unknown(kind, {}, hairpin=False)
    assert not wrong
    assert "udp_blocked" in unknown
