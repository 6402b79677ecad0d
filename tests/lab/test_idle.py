"""A session without data, behind NATs that forget soon."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from natlab.topology import Topology

from tests.support.lab import LabFactory, lab_factory, routers
from tests.support.lab_play import Play, Traffic, is_direct, is_relay

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(300)]

__all__ = ["lab_factory"]

LIFETIME_S = 20
IDLE_S = 150.0
PACKETS_PER_S = {"direct": 4.0, "relay": 6.0}
"""Of one side, in and out: heartbeats of two paths each way and their answers, what keeps relay and login alive."""


def forgetful(*kinds: str) -> Topology:
    topology = routers(delay_s=0.02, **dict(zip("de", kinds, strict=True)))
    return replace(topology, routers=tuple(replace(router, lifetime_s=LIFETIME_S) for router in topology.routers))


def packets(play: Play, host: str) -> int:
    (shown,) = json.loads(play.lab.run(host, ["ip", "-s", "-json", "link", "show", "dev", "eth0"]).stdout)
    return int(shown["stats64"]["rx"]["packets"]) + int(shown["stats64"]["tx"]["packets"])


@pytest.mark.parametrize("kinds", [("port", "port"), ("sym", "addr"), ("sym", "sym")], ids="-".join)
def test_an_idle_session_keeps_its_path_with_few_packets(lab_factory: LabFactory, kinds: tuple[str, str]) -> None:
    relayed = kinds == ("sym", "sym")
    folder = Path(tempfile.mkdtemp(prefix="p2p-test-"))
    try:
        with ExitStack() as stack:
            play = Play(lab_factory(forgetful(*kinds)), folder, stack)
            play.wait_for(is_relay if relayed else is_direct)
            traffic = Traffic(play.connect())
            time.sleep(1)
            traffic.finish()
            time.sleep(10)
            told = len(play.dialer.told)
            before = [packets(play, host) for host in ("d1", "e1")]
            time.sleep(IDLE_S)
            rates = [(packets(play, host) - count) / IDLE_S for host, count in zip(("d1", "e1"), before, strict=True)]
            print(f"packets a second: dialer {rates[0]:.2f}, exposer {rates[1]:.2f}")
            assert not [line.values for line in play.dialer.told[told:] if line.event == "path"]
            assert max(rates) < PACKETS_PER_S["relay" if relayed else "direct"]
            # What waited for so long passes at once.
            traffic = Traffic(play.connect())
            time.sleep(1)
            traffic.finish()
            assert traffic.longest_stall_s < 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
