"""The real programs on one network, behind one carrier, and with IPv6; `lab matrix` measures more scenarios."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.lab import LAB_COMMAND

pytestmark = pytest.mark.root

SCENARIOS = ("lan", "lan-alone", "carrier-hairpin", "carrier-no-hairpin", "ipv6")


@pytest.mark.timeout(120)
def test_peers_that_have_a_network_in_common(tmp_path: Path) -> None:
    found = tmp_path / "matrix.json"
    words = ["--scenarios", ",".join(SCENARIOS), "--size", "100000", "--jobs", "1", "--json", str(found)]
    result = subprocess.run(
        [sys.executable, str(LAB_COMMAND), "matrix", "--check", *words],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    cells = {cell["scenario"]: cell for cell in json.loads(found.read_text())["cells"]}
    assert set(cells) == set(SCENARIOS)
    assert all(cell["bytes_ok"] for cell in cells.values())
    # Without the hairpin the two homes cannot meet, and are told so.
    assert cells["carrier-no-hairpin"]["reasons"] == {"checks-unanswered": 1}
