"""`lab matrix` with a stand-in for the programs: what it measures, checks and writes, and that it leaves nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.lab import LAB_COMMAND

pytestmark = pytest.mark.root

FAKE = Path(__file__).resolve().parents[1] / "support" / "fake_p2p.py"


def matrix_command(*flags: str, fake: str = "direct") -> list[str]:
    program = f"{sys.executable} {FAKE}"
    return [sys.executable, str(LAB_COMMAND), "matrix", "--p2p", program, f"--flag=--fake={fake}", *flags]


def run_matrix(*flags: str, fake: str = "direct") -> subprocess.CompletedProcess[str]:
    return subprocess.run(matrix_command(*flags, fake=fake), capture_output=True, text=True, timeout=60, check=False)


def only_cell(path: Path) -> dict[str, Any]:
    document = json.loads(path.read_text())
    assert document["delay_ms"] == 20.0
    (cell,) = document["cells"]
    return dict(cell)


def namespaces_of(pid: int) -> list[str]:
    return [name for name in os.listdir("/run/netns") if name.startswith(f"m{pid}n")]


def test_direct_pair(tmp_path: Path) -> None:
    result = run_matrix("--pair", "port:full", "--runs", "2", "--check", "--json", str(tmp_path / "f"))
    assert result.returncode == 0, result.stdout + result.stderr
    cell = only_cell(tmp_path / "f")
    assert (cell["dialer"], cell["exposer"]) == ("port", "full")
    assert (cell["runs"], cell["connected"], cell["direct"], cell["relay"]) == (2, 2, 2, 0)
    assert cell["bytes_ok"] is True
    assert cell["reasons"] == {}
    # The stand-in says that it is direct 0.1 s after it began; the first byte takes two connections and a request
    # through links of 20 ms, and the program's own start comes before.
    assert 0.1 <= cell["direct_s"]["p50"] < 1
    assert 0.19 < cell["first_byte_s"]["p50"] < 2
    assert cell["first_byte_s"]["p50"] < cell["wall_first_byte_s"]["p50"]
    assert cell["first_byte_s"]["p50"] <= cell["first_byte_s"]["p95"]


def test_relay_with_the_right_reason(tmp_path: Path) -> None:
    result = run_matrix(
        "--pair", "udpblock:port", "--check", "--json", str(tmp_path / "f"), fake="relay:udp-blocked-here"
    )
    assert result.returncode == 0, result.stdout + result.stderr
    cell = only_cell(tmp_path / "f")
    assert (cell["direct"], cell["relay"], cell["reasons"]) == (0, 1, {"udp-blocked-here": 1})
    assert cell["direct_s"] == {"p50": None, "p95": None, "max": None}
    assert cell["reason_s"]["p50"] >= 0.1
    assert cell["sessions"][0]["peer_packets"] == 0


@pytest.mark.parametrize(
    ("pair", "fake", "complaint"),
    [
        ("udpblock:port", "direct", "direct instead of relay"),
        ("port:port", "relay:checks-unanswered", "relay (checks-unanswered) instead of direct"),
        ("sym:sym", "relay:udp-blocked-here", "not both-mappings-dependent"),
        ("sym:sym", "silent", "nothing that was said"),
        ("port:port", "corrupt", "what arrived is not what was sent"),
        ("port:port", "refuse", "P2P-0001: no such ticket"),
    ],
)
def test_what_is_not_as_expected_is_said(pair: str, fake: str, complaint: str, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    result = run_matrix("--pair", pair, "--check", "--deadline", "1s", "--html", str(page), fake=fake)
    assert result.returncode == 1, result.stdout + result.stderr
    assert complaint in result.stdout
    assert ' wrong"' in page.read_text()


def test_no_server_is_a_failed_cell_with_its_reason(tmp_path: Path) -> None:
    command = [sys.executable, str(LAB_COMMAND), "matrix", "--pair", "port:port", "--p2p", "sh -c 'echo broken >&2'"]
    result = subprocess.run(
        [*command, "--json", str(tmp_path / "f")], capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    cell = only_cell(tmp_path / "f")
    assert cell["connected"] == 0
    assert "broken" in cell["complaints"][0]


def test_only_what_is_missing_is_run(tmp_path: Path) -> None:
    file = tmp_path / "f"
    flags = ("--scenarios", "lan", "--json", str(file), "--resume")
    assert run_matrix(*flags).returncode == 0
    first = only_cell(file)
    assert (first["scenario"], first["runs"]) == ("lan", 1)
    again = run_matrix(*flags)
    assert "0 sessions" in again.stdout
    assert only_cell(file) == first
    assert run_matrix(*flags, "--runs", "2").returncode == 0
    second = only_cell(file)
    assert second["sessions"][0] == first["sessions"][0]
    assert second["runs"] == 2
    assert len(json.loads(file.read_text())["made"]) == 2


def test_page_out_of_files(tmp_path: Path) -> None:
    files = [str(tmp_path / name) for name in ("a", "b")]
    assert run_matrix("--pair", "port:port", "--json", files[0]).returncode == 0
    assert run_matrix("--scenarios", "hairpin", "--json", files[1]).returncode == 0
    page, whole = tmp_path / "page.html", tmp_path / "whole"
    result = run_matrix("--from-json", *files, "--html", str(page), "--json", str(whole), "--targets", "--check")
    assert len(json.loads(whole.read_text())["cells"]) == 2
    assert 'id="targets"' in page.read_text()
    # The stand-in claims to be direct after 0.1 s, and its first byte takes longer than the real one's may.
    assert "hairpin" in result.stdout
    assert "first byte p95" in result.stdout
    assert result.returncode == 1


def test_logs_are_kept_when_asked_for(tmp_path: Path) -> None:
    assert run_matrix("--pair", "open:open", "--keep-logs", str(tmp_path / "logs")).returncode == 0
    kept = {path.name for path in (tmp_path / "logs" / "open-open").iterdir()}
    assert {"serve.log", "serve.toml", "expose.log", "connect-1.log"} <= kept


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_takes_everything_down(number: signal.Signals) -> None:
    process = subprocess.Popen(
        matrix_command("--kinds", "port,sym", "--runs", "50"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        until = time.monotonic() + 20
        while len(namespaces_of(process.pid)) < 12 and time.monotonic() < until:
            time.sleep(0.05)
        assert len(namespaces_of(process.pid)) == 12
        time.sleep(1)
        process.send_signal(number)
        process.communicate(timeout=15)
        assert process.returncode == 130
        assert namespaces_of(process.pid) == []
        assert not [name for name in os.listdir("/run/p2p-lab") if name.startswith(f"m{process.pid}n")]
    finally:
        process.kill()
        process.communicate()


def test_unknown_kind() -> None:
    result = run_matrix("--kinds", "port,cone")
    assert result.returncode == 2
    assert "no kind of router named 'cone'" in result.stderr
