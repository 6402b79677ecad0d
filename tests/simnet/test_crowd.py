"""Many dials at once from one host: each comes to what one alone comes to, within the program's budget."""

from __future__ import annotations

import statistics

import pytest

from p2p import defaults
from p2p.proto.path import RelayReasonCode
from tests.simnet.crowd import CrowdScene
from tests.simnet.nat import Allocator, Dependence, NatBehaviour
from tests.simnet.test_guessing import PORT, RANDOM, SEQUENTIAL

BY_ADDRESS = NatBehaviour(Dependence.INDEPENDENT, Dependence.ADDRESS, Allocator.PRESERVING)
COUNT = 100
GUESSING = 40
"""Where ports are guessed: the simulation's time grows with the square."""


def most_in_a_second(times):
    """The most guesses within any second."""
    most = begin = 0
    for end, at in enumerate(times):
        while times[begin] <= at - 1.0:
            begin += 1
        most = max(most, end + 1 - begin)
    return most


def check_budget(scene):
    for side in (0, 1):
        assert most_in_a_second(scene.guesses_at(side)) <= defaults.GUESSES_PER_S + defaults.GUESSES_BURST


@pytest.mark.parametrize(("dialer", "exposer"), [(PORT, PORT), (RANDOM, BY_ADDRESS)], ids=["port-port", "random-addr"])
def test_plain_checks_join_them_all_and_nothing_is_guessed(dialer, exposer):
    scene = CrowdScene(dialer, exposer, count=COUNT)
    scene.run(3.0)
    assert len(scene.direct_at) == COUNT
    assert max(scene.direct_at.values()) < 0.5
    assert not scene.guesses_at(0)
    assert not scene.guesses_at(1)


@pytest.mark.parametrize(("dialer", "exposer"), [(SEQUENTIAL, PORT), (PORT, SEQUENTIAL)], ids=["seq-port", "port-seq"])
def test_windows_share_the_budget(dialer, exposer):
    scene = CrowdScene(dialer, exposer, count=GUESSING)
    scene.run(10.0)
    assert len(scene.direct_at) == GUESSING
    assert statistics.median(scene.direct_at.values()) < 2.0
    check_budget(scene)


@pytest.mark.parametrize(("dialer", "exposer"), [(RANDOM, PORT), (PORT, RANDOM)], ids=["random-port", "port-random"])
def test_birthdays_take_turns_and_each_helps_the_next(dialer, exposer):
    scene = CrowdScene(dialer, exposer, count=GUESSING)
    scene.run(30.0)
    assert len(scene.direct_at) == GUESSING
    assert max(scene.direct_at.values()) < 20.0
    check_budget(scene)
    hard = scene.pairs[0][0 if dialer is RANDOM else 1].host
    assert hard.most_extra_ports <= defaults.BIRTHDAYS_AT_ONCE * defaults.BIRTHDAY_SOCKETS + GUESSING


def test_meetings_take_turns():
    scene = CrowdScene(SEQUENTIAL, SEQUENTIAL, count=GUESSING)
    scene.run(60.0)
    assert len(scene.direct_at) >= 0.95 * GUESSING
    assert statistics.median(scene.direct_at.values()) < 20.0
    check_budget(scene)


def test_random_ports_on_both_sides_cost_no_guess():
    scene = CrowdScene(RANDOM, RANDOM, count=COUNT)
    scene.run(3.0)
    assert not scene.direct_at
    for side in (0, 1):
        assert not scene.guesses_at(side)
    for pair in scene.pairs:
        for peer in pair:
            ((at, reason),) = peer.diary.exhausted
            assert at < 2.0
            assert reason.code is RelayReasonCode.BOTH_MAPPINGS_DEPENDENT
