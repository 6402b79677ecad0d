"""Which certificate is ordered when."""

from __future__ import annotations

import msgspec
import pytest

from gateway.core.http01 import PREFIX, Challenges
from gateway.core.order_plan import (
    FAILED_MAX_S,
    FAILED_S,
    NEW_PER_HOUR,
    NEW_PER_HOUR_OF_ONE,
    NEW_PER_WEEK_OF_ONE,
    OPERATOR,
    SERVER_AWAY_S,
    Held,
    Memory,
    OrderPlan,
)

NOW = 1_700_000_000.0
HOUR, DAY = 3600.0, 86_400.0
LIFE = Held(NOW, NOW + 90 * DAY)


def order_all(plan: OrderPlan, wanted: dict[str, str], now: float) -> list[str]:
    """Order until nothing is due."""
    done = []
    while (name := plan.next(wanted, now)) is not None:
        plan.began(name, wanted[name], now)
        plan.issued(name, Held(now, now + 90 * DAY), now)
        done.append(name)
    return done


def test_a_certificate_is_renewed_when_a_third_of_its_life_is_left():
    plan = OrderPlan(Memory())
    wanted = {"a.test": "ann"}
    assert order_all(plan, wanted, NOW) == ["a.test"]
    assert plan.next(wanted, NOW + 60 * DAY - 1) is None
    assert plan.next(wanted, NOW + 60 * DAY) == "a.test"


def test_a_clock_that_is_wrong_does_not_order_again_and_again():
    plan = OrderPlan(Memory())
    wanted = {"a.test": "ann"}
    plan.issued("a.test", Held(NOW - 90 * DAY, NOW), NOW)
    assert plan.next(wanted, NOW + HOUR - 1) is None
    assert plan.next(wanted, NOW + HOUR) == "a.test"


def test_the_gateways_own_name_comes_first_then_what_ends_first_then_what_is_new():
    plan = OrderPlan(Memory())
    plan.held = {"late.test": Held(NOW - 80 * DAY, NOW + 10 * DAY), "soon.test": Held(NOW - 85 * DAY, NOW + 5 * DAY)}
    wanted = {"new.test": "ann", "late.test": "ann", "soon.test": "bob", "gw.test": OPERATOR}
    assert order_all(plan, wanted, NOW) == ["gw.test", "soon.test", "late.test", "new.test"]


def test_a_name_that_failed_waits_longer_and_longer():
    plan = OrderPlan(Memory())
    wanted, now = {"a.test": "ann"}, NOW
    for wait_s in (FAILED_S, 2 * FAILED_S, 4 * FAILED_S, 8 * FAILED_S, 16 * FAILED_S, FAILED_MAX_S, FAILED_MAX_S):
        assert plan.next(wanted, now) == "a.test"
        plan.began("a.test", "ann", now)
        plan.refused("a.test", "leads elsewhere", now)
        assert plan.next(wanted, now + wait_s - 1) is None
        assert plan.obstacle("a.test", "ann", now) == "leads elsewhere"
        now += wait_s
    plan.issued("a.test", LIFE, now)
    assert "a.test" not in plan.memory.names


def test_a_server_that_fails_stops_everything_and_counts_against_nobody():
    plan = OrderPlan(Memory())
    wanted = {"a.test": "ann", "gw.test": OPERATOR}
    plan.began("a.test", "ann", NOW)
    plan.server_failed("a.test", "ann", "away", NOW)
    assert plan.next(wanted, NOW + SERVER_AWAY_S - 1) is None
    assert plan.next(wanted, NOW + SERVER_AWAY_S) == "gw.test"
    assert plan.memory.orders == []
    plan.server_failed("gw.test", OPERATOR, "away", NOW + SERVER_AWAY_S)
    assert plan.next(wanted, NOW + 3 * SERVER_AWAY_S - 1) is None


def test_a_publisher_cannot_cause_hundreds_of_orders():
    plan = OrderPlan(Memory())
    greedy = {f"{number}.test": "eve" for number in range(300)}
    assert len(order_all(plan, greedy, NOW)) == NEW_PER_HOUR_OF_ONE
    assert "an hour" in plan.obstacle("299.test", "eve", NOW)
    # The others, the operator and renewals are not held up by it.
    assert order_all(plan, {**greedy, "b.test": "bob", "gw.test": OPERATOR}, NOW) == ["gw.test", "b.test"]
    plan.held["0.test"] = Held(NOW - 89 * DAY, NOW + DAY)
    del plan.memory.issued["0.test"]
    assert plan.next(greedy, NOW) == "0.test"
    plan.issued("0.test", LIFE, NOW)
    ordered = sum(len(order_all(plan, greedy, NOW + hour * HOUR)) for hour in range(1, 7 * 24))
    assert NEW_PER_HOUR_OF_ONE + ordered == NEW_PER_WEEK_OF_ONE
    assert order_all(plan, greedy, NOW + 7 * DAY + HOUR) != []


@pytest.mark.parametrize("per_week", [7, 45])
def test_many_publishers_together_are_bounded_too(per_week):
    plan = OrderPlan(Memory(), per_week=per_week)
    many = {f"{number}.test": f"peer {number}" for number in range(300)}
    assert len(order_all(plan, many, NOW)) == min(per_week, NEW_PER_HOUR)
    for hour in range(1, 24):
        order_all(plan, many, NOW + hour * HOUR)
    assert len(plan.held) == per_week


def test_what_was_counted_outlives_a_restart():
    plan = OrderPlan(Memory())
    greedy = {f"{number}.test": "eve" for number in range(300)}
    order_all(plan, greedy, NOW)
    plan.refused("9.test", "leads elsewhere", NOW)
    again = OrderPlan(msgspec.json.decode(msgspec.json.encode(plan.memory), type=Memory))
    assert again.next(greedy, NOW + 1) is None
    assert again.obstacle("9.test", OPERATOR, NOW + 1) == "leads elsewhere"


def test_challenges_are_answered_on_their_host_while_they_are_waited_for():
    challenges = Challenges()
    challenges.expect("a.test", "token", "answer")
    assert challenges.answer("a.test", PREFIX + "token") == "answer"
    for host, target in (("b.test", PREFIX + "token"), ("a.test", PREFIX + "other"), ("a.test", PREFIX)):
        assert challenges.answer(host, target) is None
    challenges.forget("a.test")
    assert challenges.answer("a.test", PREFIX + "token") is None
