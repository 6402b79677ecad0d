"""What a program may send to addresses that never answered."""

from __future__ import annotations

from p2p.proto.token_bucket import TokenBucket


def test_a_burst_passes_and_then_the_rate_holds() -> None:
    budget = TokenBucket(rate_per_s=10, burst=5)
    assert [budget.take(0.0) for _ in range(7)] == [True] * 5 + [False] * 2
    assert budget.denied == 2
    assert sum(budget.take(1.0 + step / 100) for step in range(200)) in range(24, 27)


def test_a_long_silence_saves_up_one_burst_only() -> None:
    budget = TokenBucket(rate_per_s=10, burst=5)
    budget.take(0.0)
    assert sum(budget.take(1000.0) for _ in range(100)) == 5
