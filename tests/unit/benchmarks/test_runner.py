from __future__ import annotations

import json
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from benchmarks import bulk, connections, latency, public, startup
from benchmarks.harness import runner
from benchmarks.harness.figure import Bench, Figure
from benchmarks.harness.place import Place
from benchmarks.harness.program import BenchmarkError, Program
from benchmarks.peers import PEERS
from benchmarks.peers.base import Tunnel, opened


class FakePeer:
    def __init__(self, name: str, values: list[float], missing: str | None = None) -> None:
        self.name = name
        self.values = values
        self._missing = missing

    def missing(self) -> str | None:
        return self._missing

    def version(self) -> str:
        return "1.0"

    def tunnel(self, place: Place, service_port: int, folder: Path) -> AbstractContextManager[Tunnel]:
        return opened(Tunnel("127.0.0.1", 1))


def measure(bench: Bench) -> float:
    assert isinstance(bench.peer, FakePeer)
    if not bench.peer.values:
        raise BenchmarkError("it broke")
    return bench.peer.values.pop(0)


FIGURE = Figure(
    name="speed",
    title="Speed",
    unit="Mbit/s",
    better="higher",
    peers=("ours", "slow", "absent", "broken"),
    measure=measure,
)


@pytest.fixture
def peers(monkeypatch: pytest.MonkeyPatch) -> None:
    fakes = (
        FakePeer("ours", [30.0, 10.0, 20.0]),
        FakePeer("slow", [5.0, 5.0, 5.0]),
        FakePeer("absent", [], "it is not installed"),
        FakePeer("broken", []),
    )
    monkeypatch.setattr(runner, "PEERS", {peer.name: peer for peer in fakes})
    monkeypatch.setattr(runner, "_go_first", lambda: None)


@pytest.mark.usefixtures("peers")
def test_medians_ratios_and_who_was_skipped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result, picture = tmp_path / "result.json", tmp_path / "result.svg"
    code = runner.main([FIGURE], ["--place", "loopback", "--runs", "3", "--json", str(result), "--svg", str(picture)])
    assert code == 0
    assert json.loads(result.read_text()) == {
        "figure": "speed",
        "title": "Speed",
        "unit": "Mbit/s",
        "better": "higher",
        "place": "loopback",
        "ours": {"median": 20.0, "runs": [30.0, 10.0, 20.0]},
        "peers": {"slow": {"version": "1.0", "median": 5.0, "runs": [5.0, 5.0, 5.0], "ratio": 4.0}},
        "skipped": {"absent": "it is not installed", "broken": "it broke"},
    }
    printed = capsys.readouterr().out
    assert "speed: absent skipped: it is not installed" in printed
    assert "ours is 4 times as good" in printed
    assert picture.read_text().count("<rect") == 2


@pytest.mark.usefixtures("peers")
def test_only_the_peers_that_were_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert runner.main([FIGURE], ["--place", "loopback", "--quick", "--peers", "slow"]) == 0
    assert "ours" not in capsys.readouterr().out


def test_every_figure_compares_known_peers() -> None:
    figures = (*bulk.FIGURES, *latency.FIGURES, *connections.FIGURES, *startup.FIGURES, *public.FIGURES)
    assert len({figure.name for figure in figures}) == len(figures)
    assert {peer for figure in figures for peer in figure.peers} <= set(PEERS)


def test_a_program_that_ends_too_early_is_reported_with_its_last_words(tmp_path: Path) -> None:
    with (
        Program(["sh", "-c", "echo no port; exit 1"], log=tmp_path / "server.log") as program,
        pytest.raises(BenchmarkError, match="server ended: no port"),
    ):
        program.wait_for("ready", 5)
