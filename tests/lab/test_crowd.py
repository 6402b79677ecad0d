"""A hundred sessions that one host opens at once: each comes to what it would come to alone, within a budget."""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
from natlab.cell import wait_for_server
from natlab.observed import ObservedProgram
from natlab.plan import SERVER
from natlab.programs import Programs, find_program

from p2p import defaults
from tests.support.lab import LabFactory, lab_factory, routers

__all__ = ["lab_factory"]

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(300)]

COUNT = 100
WITHIN_S = 90.0
REPOSITORY = Path(__file__).resolve().parents[2]


def most_within_a_second(sent: Sequence[Sequence[float]], column: int) -> float:
    """The most packets of a kind within any second, by samples of what was sent until then."""
    return max(
        (
            after[column] - before[column]
            for index, before in enumerate(sent)
            for after in sent[index + 1 :]
            if after[0] - before[0] <= 1.0
        ),
        default=0,
    )


@pytest.mark.parametrize(
    "kinds",
    [("port", "port"), ("sym", "addr"), ("symseq", "port"), ("port", "symseq"), ("sym", "port"), ("port", "sym")],
    ids="-".join,
)
def test_each_of_a_hundred_becomes_direct(lab_factory: LabFactory, kinds: tuple[str, str]) -> None:
    lab = lab_factory(routers(delay_s=0.02, **dict(zip("de", kinds, strict=True))))
    folder = Path(tempfile.mkdtemp(prefix="p2p-test-"))
    stop = threading.Event()
    try:
        with ExitStack() as stack:
            programs = Programs(find_program(), folder)

            def start(host: str, name: str, command: list[str]) -> ObservedProgram:
                return stack.enter_context(ObservedProgram.of(programs, lab, host, name, command, stop=stop))

            wait_for_server(lab, start(SERVER, "serve", programs.serve()), stop)
            exposer = start("e1", "expose", programs.expose(8000))
            ticket = str(exposer.require("ready", within_s=30).values["ticket"])
            command = [
                sys.executable,
                "-m",
                "tests.support.crowd_dialer",
                ticket,
                str(COUNT),
                str(folder),
                f"{WITHIN_S}",
            ]
            with lab.entered("d1"):
                result = subprocess.run(
                    command, cwd=REPOSITORY, capture_output=True, text=True, timeout=WITHIN_S + 60, check=True
                )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    told = json.loads(result.stdout)
    sent = told["sent"]
    rates = {
        name: most_within_a_second(sent, column) for column, name in enumerate(("checks", "guesses", "heartbeats"), 1)
    }
    opened, direct = told["open_s"], told["direct_s"]
    print(f"open: {len(opened)}, median {statistics.median(opened):.2f} s, last {opened[-1]:.2f} s")
    print(f"direct: {len(direct)}, median {statistics.median(direct):.2f} s, last {direct[-1]:.2f} s")
    print(f"refused and tried again: {len(told['refusals'])}")
    print(f"sent within a second at most: {rates}; in all: {sent[-1][1:]}")
    assert len(direct) == told["direct_at_end"] == COUNT, told["refusals"][-3:]
    assert rates["guesses"] <= defaults.GUESSES_PER_S + defaults.GUESSES_BURST
    assert rates["checks"] + rates["guesses"] <= defaults.CHECKS_UNPROVEN_PER_S + defaults.CHECKS_UNPROVEN_BURST
