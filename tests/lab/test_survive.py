"""One session through what `lab survive` does to it; here a short part, in `make soak` all of it."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from natlab.lab import CUT_UDP_PEER, Lab
from natlab.programs import find_program
from natlab.survival import Survival, events, play_events

from tests.support.lab import LabFactory, lab_factory, routers

pytestmark = [pytest.mark.root, pytest.mark.timeout(180)]

__all__ = ["lab_factory"]

SHORT = ("direct path cut", "direct path restored", "both NATs reboot", "dialer's host moves, both links up")
FAST_BPS = 200_000_000
SLOW_BPS = 20_000_000
SETTLED_S = 2.0


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="p2p-test-"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


def build(lab_factory: LabFactory, rate_bps: int) -> Lab:
    lab = lab_factory(routers(delay_s=0.02, d="port", e="port", x="port"))
    for router in "dex":
        lab.set_link(router, rate_bps=rate_bps)
    return lab


def test_a_session_survives_what_networks_do(lab_factory: LabFactory, folder: Path) -> None:
    chosen = [event for event in events(1.0) if event.name in SHORT]
    assert len(chosen) == len(SHORT)
    outcomes = play_events(build(lab_factory, SLOW_BPS), folder, chosen, command=find_program(), size=20_000_000)
    for outcome in outcomes:
        assert not outcome.problem
        assert outcome.path == outcome.wanted
        # The bounds proper are for a quiet machine: `lab survive --check`.
        assert max(outcome.bulk_stall_s, outcome.stream_gap_s) < 6


@pytest.mark.slow
def test_congestion_state_follows_the_path(lab_factory: LabFactory, folder: Path) -> None:
    """From a fast direct path to a relay behind a slow line, and back: the rate has settled within two seconds."""
    lab = build(lab_factory, FAST_BPS)
    lab.run("srv", ["tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", str(SLOW_BPS), "burst", "64kb",
                    "latency", "100ms"])  # fmt: skip
    with ExitStack() as stack:
        play = Survival(lab, folder, stack, command=find_program())
        play.dial()
        rates: dict[str, list[float]] = {}
        for _ in range(2):
            for path, act in (("direct", lab.restore), ("relay", lambda router: lab.cut(router, CUT_UDP_PEER))):
                act("d")
                until = time.monotonic() + 75
                while play.path != path and time.monotonic() < until:
                    time.sleep(0.02)
                assert play.path == path
                settling, settled = bits_per_s(play, SETTLED_S), bits_per_s(play, 4.0)
                print(f"{path}: {settling / 1e6:.1f} Mbit/s in the first 2 s, then {settled / 1e6:.1f} Mbit/s")
                rates.setdefault(path, []).append(settled)
        play.traffic.finish(least_bytes=0)
        assert not play.traffic.problems
    assert min(rates["relay"]) > 0.7 * SLOW_BPS
    assert min(rates["direct"]) > 2 * SLOW_BPS


def bits_per_s(play: Survival, duration_s: float) -> float:
    before = play.traffic.bulk_bytes
    time.sleep(duration_s)
    return (play.traffic.bulk_bytes - before) * 8 / duration_s
