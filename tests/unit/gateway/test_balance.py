"""Which instance gets the next visitor."""

from __future__ import annotations

from collections import Counter

from gateway.core.balance import (
    EJECT_AFTER_FAILURES,
    EJECT_S,
    SLOW_START_S,
    Instance,
    Policy,
    choose,
)

LONG_AGO = -1000.0


def instances(*weights: int) -> list[Instance]:
    return [Instance(f"i{number}", weight, LONG_AGO) for number, weight in enumerate(weights)]


def chosen(pool: list[Instance], policy: Policy, count: int, visitor: str = "198.51.100.7") -> Counter[str]:
    found = (choose(pool, policy, visitor=visitor, now=0.0) for _ in range(count))
    return Counter(instance.key for instance in found if instance is not None)


def test_in_turn_by_weight_without_runs():
    pool = instances(3, 1)
    order = [choose(pool, Policy.ROUND_ROBIN, visitor="", now=0.0).key for _ in range(8)]  # type: ignore[union-attr]
    assert Counter(order) == {"i0": 6, "i1": 2}
    assert "i1" in order[:4]
    assert "i1" in order[4:]


def test_the_one_with_the_fewest_visitors():
    pool = instances(1, 1, 2)
    pool[0].open, pool[1].open, pool[2].open = 3, 1, 2
    assert chosen(pool, Policy.LEAST_CONNECTIONS, 1) == {"i2": 1}
    pool[2].open = 4
    assert chosen(pool, Policy.LEAST_CONNECTIONS, 1) == {"i1": 1}


def test_a_visitor_stays_and_only_those_of_a_lost_instance_move():
    pool = instances(1, 1, 1)
    visitors = [f"198.51.100.{number}" for number in range(200)]
    before = {visitor: next(iter(chosen(pool, Policy.ADDRESS, 3, visitor))) for visitor in visitors}
    assert min(Counter(before.values()).values()) > 30
    after = {visitor: next(iter(chosen(pool[:2], Policy.ADDRESS, 1, visitor))) for visitor in visitors}
    assert all(after[visitor] == key for visitor, key in before.items() if key != "i2")


def test_failures_in_a_row_eject_for_longer_and_longer():
    pool = instances(1, 1)
    broken = pool[0]
    assert [broken.failed(0.0) for _ in range(EJECT_AFTER_FAILURES)] == [False] * (EJECT_AFTER_FAILURES - 1) + [True]
    assert chosen(pool, Policy.ROUND_ROBIN, 4) == {"i1": 4}
    assert broken.is_well(EJECT_S)
    for _ in range(EJECT_AFTER_FAILURES):
        broken.failed(EJECT_S)
    assert not broken.is_well(EJECT_S + EJECT_S)
    broken.succeeded()
    assert not broken.failed(100.0)


def test_when_all_are_ejected_they_get_another_chance():
    pool = instances(1)
    for _ in range(EJECT_AFTER_FAILURES):
        pool[0].failed(0.0)
    assert chosen(pool, Policy.LEAST_CONNECTIONS, 1) == {"i0": 1}
    assert choose(pool, Policy.ROUND_ROBIN, visitor="", now=0.0, without=pool) is None


def test_a_draining_instance_gets_nobody():
    pool = instances(1, 1)
    pool[0].is_draining = True
    assert chosen(pool, Policy.ADDRESS, 5) == {"i1": 5}
    pool[1].is_draining = True
    assert not chosen(pool, Policy.ADDRESS, 5)


def test_a_new_instance_starts_slowly():
    fresh = Instance("new", 10, 0.0)
    assert fresh.share(0.0) == 1.0
    assert fresh.share(SLOW_START_S / 2) == 5.0
    assert fresh.share(SLOW_START_S * 2) == 10.0


def test_an_instance_that_says_it_is_not_well_gets_nobody_until_it_is():
    pool = instances(1, 1)
    asked = pool[0]
    assert not asked.checked(0.0, is_good=True)
    assert not asked.checked(0.0, is_good=False), "once may be chance"
    assert asked.checked(0.0, is_good=False)
    assert chosen(pool, Policy.ROUND_ROBIN, 4) == {"i1": 4}
    assert asked.checked(0.0, is_good=True)
    assert asked.share(0.0) < 1.0, "and begins slowly"
    assert pool[1].checked(0.0, is_good=False), "it has never been well"
    assert chosen(pool, Policy.ADDRESS, 4) == {"i0": 4}
    asked.checked(0.0, is_good=False)
    asked.checked(0.0, is_good=False)
    assert choose(pool, Policy.LEAST_CONNECTIONS, visitor="", now=0.0) is None


class Distant(Instance):
    """An instance with a round trip."""

    def __init__(self, key: str, rtt_s: float | None) -> None:
        super().__init__(key, 1, LONG_AGO)
        self._rtt_s = rtt_s

    @property
    def rtt_s(self) -> float | None:
        return self._rtt_s


def test_the_nearest_share_by_connections_and_the_far_ones_wait():
    pool = [Distant("near", 0.010), Distant("as near", 0.011), Distant("far", 0.080), Distant("unknown", None)]
    assert chosen(pool, Policy.RTT, 8) == {"near": 4, "as near": 4}
    pool[0].is_set_aside = pool[1].is_set_aside = True
    assert chosen(pool, Policy.RTT, 2) == {"far": 2}
    assert chosen(pool[3:], Policy.RTT, 1) == {"unknown": 1}


def test_an_instance_tells_how_it_is():
    one = Instance("i", 1, 0.0)
    assert (one.state(0.0), one.state(SLOW_START_S)) == ("starting", "well")
    for _ in range(EJECT_AFTER_FAILURES):
        one.failed(20.0)
    assert one.state(20.0) == "ejected"
    for name in ("is_heard", "is_healthy"):
        setattr(one, name, False)
    assert one.state(20.0) == "unhealthy"
    one.is_set_aside = True
    assert one.state(20.0) == "set aside"
    one.is_draining = True
    assert one.state(20.0) == "draining"
    assert choose([one], Policy.ROUND_ROBIN, visitor="", now=20.0) is None


def test_a_silent_instance_gets_visitors_only_while_there_is_no_other():
    pool = instances(1, 1)
    pool[0].is_heard = False
    assert chosen(pool, Policy.ROUND_ROBIN, 4) == {"i1": 4}
    pool[1].is_draining = True
    assert chosen(pool, Policy.ROUND_ROBIN, 1) == {"i0": 1}
