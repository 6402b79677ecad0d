"""What one path is found to carry, and how soon it is noticed that it carries less."""

from __future__ import annotations

import pytest

from p2p import defaults
from p2p.proto.path.width import PathWidth

WAIT_S = 0.35
WIDEST, MIDDLE = defaults.PATH_WIDER_BYTES
LEAST = defaults.QUIC_PACKET_BYTES


class Way:
    """A path that carries packets up to a length, and the machine that finds that out."""

    def __init__(self, carries: int, rtt_s: float = 0.04, sizes: tuple[int, ...] = defaults.PATH_WIDER_BYTES) -> None:
        self.width = PathWidth(sizes)
        self.carries = carries
        self.rtt_s = rtt_s
        self.now = 100.0
        self.asked: list[tuple[float, int]] = []
        self.heard_at = self.now
        self._answers: list[tuple[float, int, float]] = []
        self._began = self.now

    def run(self, duration_s: float, *, heard: bool = True) -> None:
        """Let time pass; a short check is answered every 0.1 s, unless nothing is heard."""
        end = self.now + duration_s
        while self.now < end:
            self.now += 0.005
            if heard and round(self.now / 0.005) % 20 == 0:
                self.heard_at = self.now
            for answer in [answer for answer in self._answers if answer[0] <= self.now]:
                self._answers.remove(answer)
                self.heard_at = self.now
                self.width.answered(answer[1], answer[2], self.now)
            for size in self.width.probes(self.now, self.heard_at, max(WAIT_S, 2 * self.rtt_s)):
                self.asked.append((round(self.now - self._began, 2), size))
                if size <= self.carries:
                    self._answers.append((self.now + self.rtt_s, size, self.now))


def test_a_path_of_plain_ethernet_is_known_after_one_round_trip() -> None:
    way = Way(carries=1472)
    assert way.width.packet_bytes == LEAST
    way.run(0.06)
    assert way.width.packet_bytes == WIDEST
    way.run(2000)
    assert [size for _, size in way.asked] == [WIDEST]


def test_a_tunnel_gets_the_next_size_and_is_tried_again_later() -> None:
    way = Way(carries=1392)
    way.run(1.5)
    assert [size for _, size in way.asked] == [WIDEST] * defaults.PATH_WIDTH_TRIES + [MIDDLE]
    assert way.width.packet_bytes == MIDDLE
    way.carries = 1472
    way.run(defaults.PATH_WIDTH_AGAIN_S)
    assert way.width.packet_bytes == WIDEST


def test_a_narrow_path_stays_at_what_all_must_carry_and_is_left_alone() -> None:
    way = Way(carries=1252)
    way.run(3)
    asked = len(way.asked)
    assert asked == 2 * defaults.PATH_WIDTH_TRIES
    way.run(defaults.PATH_WIDTH_AGAIN_S - 10)
    assert (len(way.asked), way.width.packet_bytes) == (asked, LEAST)


def test_an_outage_is_no_verdict() -> None:
    way = Way(carries=0)
    way.run(5, heard=False)
    way.carries = 1472
    way.run(1)
    assert way.width.packet_bytes == WIDEST


@pytest.mark.parametrize(("rtt_s", "within_s"), [(0.001, 0.25), (0.04, 0.3), (0.2, 0.65), (0.6, 1.5)])
def test_a_path_that_has_become_narrow_is_found_out_soon(rtt_s: float, within_s: float) -> None:
    way = Way(carries=1472, rtt_s=rtt_s)
    way.run(2)
    way.carries = 1252
    assert way.width.packets_lost(way.now)
    way.run(within_s)
    assert way.width.packet_bytes == LEAST
    way.run(4)
    assert way.width.packet_bytes == LEAST


def test_losses_of_a_path_that_is_as_wide_as_before_cost_two_checks_a_second() -> None:
    way = Way(carries=1472)
    way.run(1)
    way.asked.clear()
    start = way.now
    for _ in range(500):
        way.width.packets_lost(way.now)
        way.run(0.02)
        assert way.width.packet_bytes == WIDEST
    assert len(way.asked) <= 2 * (1 + (way.now - start) / defaults.PATH_WIDTH_DOUBT_S)


def test_one_long_check_that_is_lost_by_chance_is_asked_again() -> None:
    way = Way(carries=1472)
    way.run(1)
    way.carries = 1252
    way.width.packets_lost(way.now)
    way.run(0.01)
    way.carries = 1472
    way.run(1)
    assert way.width.packet_bytes == WIDEST


def test_a_path_that_died_has_not_become_narrow() -> None:
    way = Way(carries=1472)
    way.run(1)
    way.carries = 0
    way.width.packets_lost(way.now)
    way.run(3, heard=False)
    assert way.width.packet_bytes == WIDEST


def test_an_answer_to_an_older_short_check_says_nothing() -> None:
    width = PathWidth()
    width.probes(0.0, 0.0, WAIT_S)
    width.answered(WIDEST, 0.0, 0.2)
    width.packets_lost(1.0)
    assert width.probes(1.0, 1.0, WAIT_S) == (WIDEST, LEAST)
    width.answered(LEAST, 0.9, 1.1)
    assert width.probes(1.25, 1.1, WAIT_S) == ()


def test_nothing_to_try_costs_nothing() -> None:
    way = Way(carries=1472, sizes=())
    way.run(700)
    assert not way.width.packets_lost(way.now)
    assert (way.asked, way.width.packet_bytes) == ([], LEAST)
