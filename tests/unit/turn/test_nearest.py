"""Which relay comes first."""

from __future__ import annotations

import pytest

from p2p.proto.turn.nearest import nearest_first


@pytest.mark.parametrize(
    ("round_trips_s", "order"),
    [
        ({}, ["a", "b", "c"]),
        ({"c": 0.02}, ["c", "a", "b"]),
        ({"a": 0.15, "b": 0.01, "c": 0.08}, ["b", "c", "a"]),
        ({"a": 0.018, "b": 0.011, "c": 0.08}, ["a", "b", "c"]),
        ({"b": 0.3, "c": 0.2}, ["c", "b", "a"]),
        ({"elsewhere": 0.001, "b": 0.3}, ["b", "a", "c"]),
    ],
)
def test_the_nearest_comes_first_and_the_silent_last(round_trips_s: dict[str, float], order: list[str]) -> None:
    assert nearest_first(["a", "b", "c"], round_trips_s) == order


def test_no_relays_have_no_order() -> None:
    assert nearest_first([], {"a": 0.1}) == []
