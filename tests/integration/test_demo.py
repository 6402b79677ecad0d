"""The whole program on this machine: servers, both peers, a file between them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = (sys.executable, "-c", "from p2p.cli.main import run; run()", "demo", "--json")


def environment_with(folder: Path) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("P2P_")}
    return {**kept, "XDG_CONFIG_HOME": str(folder)}


@pytest.mark.parametrize("engine", ["qh3", "aioquic"])
def test_demo(engine: str, tmp_path: Path) -> None:
    result = subprocess.run(
        [*COMMAND, "--size", "2", "--engine", engine],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
        env=environment_with(tmp_path),
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


def test_interrupted_demo(tmp_path: Path) -> None:
    """Its sessions end, the one that the connector tries to open instead is given up, and nothing is reported."""
    with subprocess.Popen(
        [*COMMAND, "--size", "10000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment_with(tmp_path),
        # A shell without job control has its background jobs ignore SIGINT, which would be inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if json.loads(line)["event"] == "connected":
                break
        demo.send_signal(signal.SIGINT)
        rest, errors = demo.communicate(timeout=60)
    assert errors == ""
    assert [line for line in rest.splitlines() if json.loads(line)["event"] == "error"] == []
    assert demo.returncode == 130
