"""The real programs in the pairs that stand for all others; `lab matrix` runs every pair."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.lab import LAB_COMMAND

pytestmark = pytest.mark.root

PAIRS = ("port:port", "sym:full", "fw:symseq", "sym:sym", "udpblock:port", "linux:udpblock", "addr:pool")
SCENARIOS = ("hairpin", "ipv6-to-ipv4")


@pytest.mark.timeout(180)
def test_pairs_come_to_what_they_must_come_to(tmp_path: Path) -> None:
    found, logs = tmp_path / "matrix.json", tmp_path / "logs"
    # Guessing ports is tested on its own; here it would only take time.
    flags = ["--flag=--no-birthday", "--deadline", "6s", "--hard-deadline", "6s", "--size", "100000"]
    flags += [word for pair in PAIRS for word in ("--pair", pair)]
    flags += ["--scenarios", ",".join(SCENARIOS)]
    files = ["--json", str(found), "--keep-logs", str(logs)]
    result = subprocess.run(
        [sys.executable, str(LAB_COMMAND), "matrix", "--check", *flags, *files],
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    found_cells = json.loads(found.read_text())["cells"]
    cells = {cell["scenario"] or f"{cell['dialer']}:{cell['exposer']}": cell for cell in found_cells}
    assert set(cells) == {*PAIRS, *SCENARIOS}
    assert all(cell["bytes_ok"] for cell in cells.values())
    assert cells["udpblock:port"]["transports"] == {"tcp": 1}
    assert cells["port:port"]["direct"] == 1


@pytest.mark.timeout(180)
def test_ports_are_guessed_where_plain_checks_do_not_pass(tmp_path: Path) -> None:
    found = tmp_path / "matrix.json"
    pairs = ("symseq:port", "port:symseq2", "symseq2:symseq", "sym:port")
    flags = [word for pair in pairs for word in ("--pair", pair)]
    result = subprocess.run(
        [sys.executable, str(LAB_COMMAND), "matrix", "--check", "--size", "100000", "--json", str(found), *flags],
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    cells = json.loads(found.read_text())["cells"]
    assert [cell["direct"] for cell in cells] == [1] * len(pairs)
