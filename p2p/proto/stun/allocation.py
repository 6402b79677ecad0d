"""Which outside port a NAT gives to a new mapping, and how that is concluded from a burst of new mappings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise
from math import gcd
from typing import Final, NamedTuple

from p2p.defaults import (
    NAT_ALLOCATION_LEAST,
    NAT_PARITY_LEAST,
    NAT_PRESERVED_SHARE,
    NAT_RANDOM_LEAST,
    NAT_RANDOM_SHARE,
    NAT_SCATTERED_SHARE,
    NAT_SEQUENTIAL_SHARE,
    NAT_SEQUENTIAL_STEP,
    NAT_WRAP_DISTANCE,
)

_BOTH_PARITIES: Final = 2


class PortAllocation(StrEnum):
    """Which port a new mapping gets. Source: RFC 4787 section 4.2."""

    UNKNOWN = "unknown"
    PRESERVING = "preserving"
    SEQUENTIAL = "sequential"
    RANDOM = "random"


class PortSample(NamedTuple):
    """The ports of one new mapping.

    Attributes:
        local: The inside port.
        mapped: The outside port.
    """

    local: int
    mapped: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """What is known of the choice of ports.

    Attributes:
        kind: In one word.
        step: The distance between consecutive ports, with its sign, when they are sequential.
        port_range: The lowest and the highest outside port seen; None when ports are kept or nothing was seen.
        keeps_parity: Whether even ports stay even and odd ones odd. Source: RFC 4787 section 4.2.2.
        keeps_contiguity: Whether neighbours stay neighbours. Source: RFC 4787 section 4.2.3.
    """

    kind: PortAllocation = PortAllocation.UNKNOWN
    step: int | None = None
    port_range: tuple[int, int] | None = None
    keeps_parity: bool | None = None
    keeps_contiguity: bool | None = None


def is_preserved(samples: Sequence[PortSample]) -> bool | None:
    """Conclude whether the outside port is the inside one; one that somebody else had already does not refute it.

    Args:
        samples: In any order.

    Returns:
        None when there are none.
    """
    if not samples:
        return None
    kept = sum(sample.local == sample.mapped for sample in samples)
    return kept >= NAT_PRESERVED_SHARE * len(samples)


def judge_allocation(samples: Sequence[PortSample], further: Sequence[PortSample] = ()) -> Allocation:
    """Conclude which port a new mapping gets.

    Others' traffic takes ports in between, lost questions come late and out of order, a counter goes back to its start,
    and a socket may get a mapping of a former one: so the longest run in one direction decides, whatever stands in it.

    Args:
        samples: The first mapping of each of several sockets, in the order in which they were asked for.
        further: Later mappings of a socket whose mapping depends on the destination, in the same order: some NATs
            keep the port for a first destination and pick others for the next.
    """
    if not samples:
        return Allocation()
    if is_preserved(samples):
        if is_preserved(further) is not False:
            return Allocation(kind=PortAllocation.PRESERVING, keeps_parity=True, keeps_contiguity=True)
        samples = [sample for sample in further if sample.mapped != sample.local]
    verdict = _two_counters(samples) or _by_distance([sample.mapped for sample in samples])
    return replace(
        verdict,
        keeps_parity=_keeps_parity(samples, verdict),
        keeps_contiguity=_keeps_contiguity(samples, verdict),
    )


def _two_counters(samples: Sequence[PortSample]) -> Allocation | None:
    """Recognise a counter for even ports and one for odd ones, which together look like no order at all."""
    if any((sample.local ^ sample.mapped) & 1 for sample in samples):
        return None
    even, odd = (_by_distance([sample.mapped for sample in samples if sample.local & 1 == parity]) for parity in (0, 1))
    if not even.kind is odd.kind is PortAllocation.SEQUENTIAL or even.step != odd.step:
        return None
    if len({after.mapped - before.mapped for before, after in pairwise(samples)}) == 1:
        # One counter, which met our parities by chance.
        return None
    ports = [sample.mapped for sample in samples]
    return replace(even, port_range=(min(ports), max(ports)))


def _by_distance(mapped: Iterable[int]) -> Allocation:
    ports = list(dict.fromkeys(mapped))
    if not ports:
        return Allocation()
    seen = Allocation(port_range=(min(ports), max(ports)))
    if len(ports) < NAT_ALLOCATION_LEAST:
        return seen
    up, down = _longest_run(ports), _longest_run([-port for port in ports])
    run, sign = (up, 1) if len(up) >= len(down) else (down, -1)
    share = len(run) / len(ports)
    if share >= NAT_SEQUENTIAL_SHARE:
        # Others take ports in between, but from the same counter.
        return replace(seen, kind=PortAllocation.SEQUENTIAL, step=sign * gcd(*run[1:]))
    far = sum(abs(after - before) > NAT_SEQUENTIAL_STEP for before, after in pairwise(ports))
    is_enough = len(ports) >= NAT_RANDOM_LEAST and share <= NAT_RANDOM_SHARE
    if is_enough or far >= NAT_SCATTERED_SHARE * (len(ports) - 1):
        return replace(seen, kind=PortAllocation.RANDOM)
    return seen


def _longest_run(ports: Sequence[int]) -> list[int]:
    """Find the most ports that one counter can have given in this order, whatever stands between them.

    Args:
        ports: As they were given.

    Returns:
        The distances along the run, 0 for its first port, and again where the counter went back to its start.
    """
    longest: list[list[int]] = []
    for index, port in enumerate(ports):
        best: list[int] = []
        for before, other in enumerate(ports[:index]):
            distance = port - other
            if not 0 < distance <= NAT_SEQUENTIAL_STEP * (index - before):
                if distance > -NAT_WRAP_DISTANCE or 0 in longest[before][1:]:
                    continue
                distance = 0
            best = max(best, longest[before] + [distance], key=len)
        longest.append(best or [0])
    return max(longest, key=len)


def _keeps_parity(samples: Sequence[PortSample], verdict: Allocation) -> bool | None:
    if any((sample.local ^ sample.mapped) & 1 for sample in samples):
        return False
    parities = {sample.local & 1 for sample in samples}
    if len(samples) < NAT_PARITY_LEAST or len(parities) < _BOTH_PARITIES:
        return None
    distances = {after.mapped - before.mapped for before, after in pairwise(samples)}
    # A counter that never skips a port cannot have looked at parity.
    return None if distances == {verdict.step} else True


def _keeps_contiguity(samples: Sequence[PortSample], verdict: Allocation) -> bool | None:
    by_local = {sample.local: sample.mapped for sample in samples}
    neighbours = [(local, local + 1) for local in by_local if local + 1 in by_local]
    if not neighbours:
        return None
    if any(by_local[upper] - by_local[lower] != 1 for lower, upper in neighbours):
        return False
    # Two counters, one for even ports, that happen to be side by side look the same.
    return None if verdict.kind is PortAllocation.SEQUENTIAL else True
