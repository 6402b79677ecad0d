"""Which plan two NATs call for, and which part of it is ours.

| one side, other side | independent, filters by port | dependent, sequential | dependent, random |
|---|---|---|---|
| dependent, sequential | window | meeting | none |
| dependent, random | birthday | none | none |

Everything else passes plain checks, or cannot be helped: where one of two dependent mappings is random, each guess of
its port uses up another prediction of the other's.

Source: RFC 5128 section 3.4 (port prediction).
"""

from __future__ import annotations

from enum import StrEnum

from p2p.proto.path.reason import NatFacts
from p2p.proto.stun.nat import FilteringBehaviour, PortAllocation

_LETS_ANY_PORT_IN = (FilteringBehaviour.ENDPOINT_INDEPENDENT, FilteringBehaviour.ADDRESS_DEPENDENT)


class PlanKind(StrEnum):
    """What to do beyond plain checks."""

    NONE = "none"
    WINDOW = "window"
    """We are the hard side and open a few doors in a row; the other side guesses the next ports."""
    BIRTHDAY = "birthday"
    """We are the hard side and open many doors; the other side tries ports at random."""
    SPRAY = "spray"
    """We are the easy side: the hard side says what to try."""
    MEETING = "meeting"
    """Both sides predict."""


def choose_plan(local: NatFacts, remote: NatFacts) -> PlanKind:
    """Choose what to do beyond plain checks.

    Args:
        local: About our network.
        remote: About the peer's.

    Returns:
        Our part; the peer comes to the matching one when it knows the same.
    """
    if any(side.direct_disabled or side.udp_blocked for side in (local, remote)):
        return PlanKind.NONE
    if local.is_dependent and remote.is_dependent:
        sequential = all(side.allocation is PortAllocation.SEQUENTIAL for side in (local, remote))
        return PlanKind.MEETING if sequential else PlanKind.NONE
    hard, easy = (local, remote) if local.is_dependent else (remote, local)
    if not hard.is_dependent or not easy.is_independent or easy.filtering in _LETS_ANY_PORT_IN:
        return PlanKind.NONE
    if hard.allocation is PortAllocation.PRESERVING:
        # The port is known; what changes is the address, out of a pool that nobody can guess.
        return PlanKind.NONE
    if hard.allocation is PortAllocation.RANDOM and (local.birthday_disabled or remote.birthday_disabled):
        return PlanKind.NONE
    if easy is local:
        return PlanKind.SPRAY
    return PlanKind.BIRTHDAY if hard.allocation is PortAllocation.RANDOM else PlanKind.WINDOW
