"""Paths that let checks through, but not the full packets that carry data."""

from __future__ import annotations

import pytest

from p2p import defaults
from tests.simnet.nat import Dependence, NatBehaviour
from tests.simnet.scene import Scene

PORT = NatBehaviour(filtering=Dependence.ADDRESS_AND_PORT)


def test_a_path_that_is_narrow_from_the_start_is_left_without_a_gap_and_not_taken_again():
    scene = Scene(PORT, PORT)
    scene.narrow_direct()
    for peer in scene.peers:
        peer.send_data(0.02)
    scene.world.run_until(1.0)
    start = scene.world.now
    scene.world.run_until(180.0)
    for peer in scene.peers:
        assert peer.diary.longest_gap_s(start, scene.world.now) < 0.2
        assert sum(event.path.is_direct for _, event in peer.diary.selected) <= 2
    assert scene.both_relayed()


@pytest.mark.parametrize("which", [0, 1])
def test_a_path_that_becomes_narrow_is_left_within_three_seconds(which):
    scene = Scene(PORT, PORT)
    scene.world.run_until(2.0, unless=scene.both_direct)
    scene.peers[which].send_data(0.02)
    scene.world.run_for(10.0)
    narrow_at = scene.world.now
    scene.narrow_direct()
    scene.world.run_for(20.0)
    receiver = scene.peers[1 - which].diary
    assert receiver.longest_gap_s(narrow_at, scene.world.now) < 3.0
    assert receiver.received[-1] > scene.world.now - 0.2


def test_a_narrow_path_is_used_again_when_it_is_wide():
    scene = Scene(PORT, PORT)
    scene.narrow_direct()
    for peer in scene.peers:
        peer.send_data(0.02)
    scene.world.run_until(60.0)
    assert scene.both_relayed()
    scene.mend()
    scene.world.run_for(defaults.PATH_RECHECK_S + 2 * defaults.ICE_CHECK_DURATION_S, unless=scene.both_direct)
    assert scene.both_direct()


def test_an_idle_session_sends_few_full_packets():
    scene = Scene(PORT, PORT)
    scene.world.run_until(10.0)
    before = scene.world.full_packets
    scene.world.run_for(60.0)
    assert scene.world.full_packets == before
