"""Which ports are named, from what servers saw."""

from __future__ import annotations

import pytest

from p2p.defaults import BIRTHDAY_SAMPLES, GUESS_PORT_FIRST, GUESS_PORT_LAST, GUESS_WINDOW_PORTS
from p2p.proto.path.plans.predict import is_in_a_row, next_ports, port_range, window


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [(100, 101, True), (100, 99, True), (100, 100, False), (100, 100 + GUESS_WINDOW_PORTS + 1, False)],
)
def test_ports_are_in_a_row_when_they_are_near_each_other(before, after, expected):
    assert is_in_a_row(before, after) is expected


@pytest.mark.parametrize("step", [None, 1, -1, 2])
def test_everything_between_the_two_is_named_from_the_first_on(step):
    assert set(window(30_000, 30_009, 8, step)) == set(range(30_001, 30_009))
    assert window(30_000, 30_009, 8, step)[0] == 30_000 + abs(step or 1)


def test_counting_down_is_seen_from_the_two_ports():
    assert window(30_009, 30_000, 8, None) == tuple(range(30_008, 30_000, -1))


def test_multiples_of_the_step_go_first():
    assert window(30_000, 30_008, 3, 2) == (30_002, 30_004, 30_006, 30_001, 30_003, 30_005, 30_007)


def test_a_range_that_begins_anew_is_counted_from_both_ends():
    ports = window(37_997, 30_003, 5, 1)
    assert {37_998, 37_999, 30_000, 30_001, 30_002} <= set(ports)
    assert len(ports) <= 14


def test_one_known_end_is_enough():
    assert set(window(30_000, None, 4, 1)) >= {30_001, 30_002, 30_003, 30_004}
    assert set(window(None, 30_000, 4, 1)) >= {29_999, 29_998, 29_997, 29_996}
    assert window(None, None, 4, 1) == ()


def test_no_port_beyond_the_ends_is_named():
    assert max(window(GUESS_PORT_LAST - 1, None, 8, 1)) == GUESS_PORT_LAST
    assert next_ports(GUESS_PORT_LAST - 2, 8, 1) == (GUESS_PORT_LAST - 1, GUESS_PORT_LAST)
    assert next_ports(GUESS_PORT_FIRST, 8, -1) == ()


def test_next_ports_go_by_the_step():
    assert next_ports(30_000, 3, -2) == (29_998, 29_996, 29_994)


def test_a_range_is_a_little_wider_than_what_was_seen_of_it():
    low, high = port_range([30_000 + 1000 * n for n in range(BIRTHDAY_SAMPLES)])
    assert 25_000 < low < 30_000
    assert 45_000 < high < 50_000


def test_few_samples_tell_nothing_of_the_range():
    assert port_range([30_000, 31_000]) == (GUESS_PORT_FIRST, GUESS_PORT_LAST)


def test_the_range_has_an_end():
    assert port_range([1100, 65_000] * BIRTHDAY_SAMPLES) == (GUESS_PORT_FIRST, GUESS_PORT_LAST)
