"""Bytes a second, with a clock of the test."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from p2p.proto.byte_bucket import ByteBucket


def test_a_burst_then_the_rate() -> None:
    bucket = ByteBucket(1000.0, 500.0)
    assert bucket.draw(10_000, 5.0) == 500
    assert bucket.draw(1, 5.0) == 0
    assert bucket.ready_at(125, 5.0) == 5.125
    assert bucket.draw(10_000, 5.125) == 125
    assert bucket.draw(10_000, 100.0) == 500


def test_what_was_not_used_comes_back_up_to_the_burst() -> None:
    bucket = ByteBucket(1000.0, 500.0)
    assert bucket.draw(300, 0.0) == 300
    bucket.refund(100)
    assert bucket.draw(1000, 0.0) == 300
    bucket.refund(10_000)
    assert bucket.draw(1000, 0.0) == 500


def test_a_clock_that_goes_back_gives_nothing() -> None:
    bucket = ByteBucket(1000.0, 500.0)
    assert bucket.draw(500, 1.0) == 500
    assert bucket.draw(500, 0.0) == 0
    assert bucket.draw(500, 1.125) == 125


@given(
    st.floats(1, 1e9),
    st.floats(1, 1e6),
    st.lists(st.tuples(st.integers(0, 1 << 20), st.floats(0, 10)), max_size=50),
)
def test_never_more_than_burst_and_rate(rate: float, burst: float, draws: list[tuple[int, float]]) -> None:
    bucket = ByteBucket(rate, burst)
    now = drawn = 0.0
    for wanted, pause in draws:
        now += pause
        drawn += bucket.draw(wanted, now)
        assert drawn <= burst + now * rate + 1
