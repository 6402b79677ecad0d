"""The whole program on this machine: servers, both peers, a file between them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("engine", ["qh3", "aioquic"])
def test_demo(engine: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from p2p.cli.main import run; run()", "demo", "--json", "--size", "2"]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("P2P_")}
    result = subprocess.run(
        [*command, "--engine", engine],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
        env={**environment, "XDG_CONFIG_HOME": str(tmp_path)},
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stderr == ""
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    events = {(line.get("role"), line["event"]) for line in lines}
    assert {
        ("expose", "ready"),
        ("expose", "session_opened"),
        ("connect", "connected"),
        ("connect", "report"),
    } <= events
    assert lines[-1]["event"] == "demo"
    assert lines[-1]["bytes"] == 2_000_000
    assert lines[-1]["bytes_ok"] is True
    assert list(tmp_path.iterdir()) == []
