"""The wheel ends keys in time, never early, and keeps nothing of what is gone."""

from relay.core.expiry import ExpiryWheel


def test_ends_at_the_first_step_at_or_after_the_instant():
    wheel = ExpiryWheel(step_s=1.0)
    wheel.schedule("exact", 10.0)
    wheel.schedule("between", 10.2)
    assert wheel.next_at() == 10.0
    assert wheel.pop_due(9.99) == []
    assert wheel.pop_due(10.5) == ["exact"]
    assert wheel.pop_due(11.0) == ["between"]
    assert wheel.next_at() is None


def test_moving_and_cancelling_leave_nothing_behind():
    wheel = ExpiryWheel(step_s=1.0)
    for at in range(100):
        wheel.schedule("refreshed", 600.0 + at)
    wheel.schedule("cancelled", 5.0)
    wheel.cancel("cancelled")
    wheel.cancel("never known")
    assert len(wheel) == 1
    assert "cancelled" not in wheel
    assert wheel.next_at() == 699.0
    assert wheel.pop_due(1000.0) == ["refreshed"]
    assert not wheel._buckets


def test_keys_of_earlier_steps_come_first():
    wheel = ExpiryWheel(step_s=1.0)
    for key, at in (("c", 30.0), ("a", 10.0), ("b", 20.0)):
        wheel.schedule(key, at)
    assert wheel.pop_due(100.0) == ["a", "b", "c"]


def test_a_key_may_move_to_an_earlier_step():
    wheel = ExpiryWheel(step_s=1.0)
    wheel.schedule("key", 100.0)
    wheel.schedule("key", 5.0)
    assert wheel.pop_due(6.0) == ["key"]
    assert wheel.pop_due(200.0) == []
