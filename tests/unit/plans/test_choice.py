"""Which plan is chosen, and that both sides choose parts that fit."""

from __future__ import annotations

import itertools

import pytest

from p2p.proto.path.plans import PlanKind, choose_plan
from p2p.proto.path.reason import NatFacts
from p2p.proto.stun.nat import FilteringBehaviour as F
from p2p.proto.stun.nat import MappingBehaviour as M
from p2p.proto.stun.nat import PortAllocation as A

EASY = NatFacts(M.ENDPOINT_INDEPENDENT, F.ADDRESS_AND_PORT_DEPENDENT)
UNSURE = NatFacts(M.ENDPOINT_INDEPENDENT)
OPEN = NatFacts(M.ENDPOINT_INDEPENDENT, F.ADDRESS_DEPENDENT)
HARD = {
    allocation: NatFacts(M.ADDRESS_AND_PORT_DEPENDENT, F.ADDRESS_AND_PORT_DEPENDENT, allocation=allocation)
    for allocation in A
}
HALF_KNOWN = NatFacts(dependent=True, allocation=A.RANDOM)
NO_BIRTHDAY = NatFacts(M.ENDPOINT_INDEPENDENT, F.ADDRESS_AND_PORT_DEPENDENT, birthday_disabled=True)
BLOCKED = NatFacts(udp_blocked=True)
RELAY_ONLY = NatFacts(M.ENDPOINT_INDEPENDENT, F.ADDRESS_AND_PORT_DEPENDENT, direct_disabled=True)
ALL = (EASY, UNSURE, OPEN, *HARD.values(), HALF_KNOWN, NO_BIRTHDAY, BLOCKED, RELAY_ONLY, NatFacts())
COUNTERPARTS = {
    PlanKind.NONE: {PlanKind.NONE},
    PlanKind.WINDOW: {PlanKind.SPRAY},
    PlanKind.BIRTHDAY: {PlanKind.SPRAY},
    PlanKind.SPRAY: {PlanKind.WINDOW, PlanKind.BIRTHDAY},
    PlanKind.MEETING: {PlanKind.MEETING},
}


@pytest.mark.parametrize(
    ("local", "remote", "expected"),
    [
        (HARD[A.SEQUENTIAL], EASY, PlanKind.WINDOW),
        (HARD[A.UNKNOWN], EASY, PlanKind.WINDOW),
        (HARD[A.RANDOM], EASY, PlanKind.BIRTHDAY),
        (HARD[A.RANDOM], UNSURE, PlanKind.BIRTHDAY),
        (HALF_KNOWN, EASY, PlanKind.BIRTHDAY),
        (HARD[A.SEQUENTIAL], HARD[A.SEQUENTIAL], PlanKind.MEETING),
        (HARD[A.SEQUENTIAL], HARD[A.RANDOM], PlanKind.NONE),
        (HARD[A.RANDOM], HARD[A.RANDOM], PlanKind.NONE),
        (HARD[A.PRESERVING], EASY, PlanKind.NONE),
        (HARD[A.RANDOM], OPEN, PlanKind.NONE),
        (HARD[A.RANDOM], NO_BIRTHDAY, PlanKind.NONE),
        (HARD[A.SEQUENTIAL], NO_BIRTHDAY, PlanKind.WINDOW),
        (HARD[A.SEQUENTIAL], BLOCKED, PlanKind.NONE),
        (HARD[A.SEQUENTIAL], RELAY_ONLY, PlanKind.NONE),
        (HARD[A.SEQUENTIAL], NatFacts(), PlanKind.NONE),
        (EASY, EASY, PlanKind.NONE),
    ],
)
def test_choice(local, remote, expected):
    assert choose_plan(local, remote) is expected


def test_the_two_sides_choose_parts_that_fit():
    for local, remote in itertools.product(ALL, ALL):
        assert choose_plan(remote, local) in COUNTERPARTS[choose_plan(local, remote)]
