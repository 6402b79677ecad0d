"""A router that forwards ports, as the real programs meet it: two random sides are direct."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from natlab.topology import Router, Topology

from tests.support.lab import LAB_COMMAND, LabFactory, lab_factory

__all__ = ["lab_factory"]

MISSING = shutil.which("miniupnpd") is None
pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(MISSING, reason="miniupnpd is not installed (package miniupnpd-nftables)"),
]


def test_two_random_sides_are_direct_where_a_router_forwards(tmp_path: Path) -> None:
    record = tmp_path / "cells.json"
    flags = ["--scenarios", "portmap-there", "--runs", "1", "--jobs", "1", "--check", "--json", str(record)]
    result = subprocess.run(
        [sys.executable, str(LAB_COMMAND), "matrix", *flags], capture_output=True, text=True, timeout=90, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    (cell,) = json.loads(record.read_text())["cells"]
    assert (cell["direct"], cell["relay"]) == (1, 0)


def test_its_port_mapper_ends_with_the_lab(lab_factory: LabFactory) -> None:
    lab = lab_factory(Topology(name="test", ipv6=False, routers=(Router(name="a", kind="sym", portmap=True),)))
    listening = lab.run("a", ["ss", "-lnup"]).stdout
    assert ":5351" in listening
    assert lab.address("a").startswith("11.51.100.")
    (process,) = lab._state.port_mappers.values()
    path = lab._state.port_mapper_path("a")
    assert path.is_file()
    lab.down()
    assert not Path(f"/proc/{process.pid}").exists()
    assert not path.exists()


def test_a_reboot_starts_it_anew(lab_factory: LabFactory) -> None:
    lab = lab_factory(Topology(name="test", ipv6=False, routers=(Router(name="a", kind="sym", portmap=True),)))
    (before,) = lab._state.port_mappers.values()
    lab.reboot("a")
    (after,) = lab._state.port_mappers.values()
    assert after != before
    assert not Path(f"/proc/{before.pid}/stat").exists() or ") Z " in Path(f"/proc/{before.pid}/stat").read_text()
    assert ":5351" in lab.run("a", ["ss", "-lnup"]).stdout
