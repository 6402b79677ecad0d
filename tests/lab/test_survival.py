"""What a running session survives: servers that restart, a direct path that is cut and comes back."""

from __future__ import annotations

import time

import pytest
from natlab.lab import CUT_UDP_PEER

from tests.support.lab_play import CHUNK, Play, Traffic, is_direct, is_relay, lab_factory, play

pytestmark = [pytest.mark.root, pytest.mark.timeout(180)]

__all__ = ["lab_factory", "play"]


def test_a_cut_direct_path_falls_back_to_the_relay_and_comes_back(play: Play) -> None:
    play.wait_for(is_direct)
    traffic = Traffic(play.connect())
    time.sleep(1)
    told = len(play.dialer.told)
    play.lab.cut("d", CUT_UDP_PEER)
    play.wait_for(lambda line: is_relay(line) and line in play.dialer.told[told:], within_s=10)
    time.sleep(2)
    told = len(play.dialer.told)
    play.lab.restore("d")
    play.wait_for(lambda line: is_direct(line) and line in play.dialer.told[told:], within_s=70)
    time.sleep(1)
    traffic.finish()
    assert traffic.longest_stall_s < 6


def test_servers_that_restart_do_not_end_a_direct_session(play: Play) -> None:
    play.wait_for(is_direct)
    traffic = Traffic(play.connect())
    time.sleep(1)
    play.kill_server()
    time.sleep(3)
    play.server = play.start_server()
    time.sleep(3)
    traffic.finish()
    assert traffic.longest_stall_s < 3


def test_after_servers_have_restarted_the_relay_is_there_for_a_path_that_dies(play: Play) -> None:
    play.wait_for(is_direct)
    traffic = Traffic(play.connect())
    play.kill_server()
    time.sleep(1)
    play.server = play.start_server()
    time.sleep(12)
    play.lab.cut("d", CUT_UDP_PEER)
    play.wait_for(lambda told: is_relay(told) and float(told.values["t"]) > 5)
    traffic.finish()
    assert traffic.longest_stall_s < 10


@pytest.mark.parametrize("play", [("sym", "sym")], indirect=True)
def test_servers_that_restart_do_not_end_a_relayed_session(play: Play) -> None:
    traffic = Traffic(play.connect())
    time.sleep(2)
    assert traffic.received_bytes > 0
    play.kill_server()
    time.sleep(3)
    before = traffic.received_bytes
    play.server = play.start_server()
    deadline = time.monotonic() + 40
    while traffic.received_bytes <= before + 4 * len(CHUNK) and time.monotonic() < deadline:
        time.sleep(0.1)
    back_s = time.monotonic() - deadline + 40
    traffic.finish()
    assert not any(told.event == "session_closed" for told in play.dialer.told)
    assert back_s < 40


def test_a_router_that_forgets_everything_does_not_end_a_session(play: Play) -> None:
    play.wait_for(is_direct)
    traffic = Traffic(play.connect())
    time.sleep(1)
    play.lab.reboot("d")
    time.sleep(8)
    traffic.finish()
    assert not any(told.event == "session_closed" for told in play.dialer.told)
