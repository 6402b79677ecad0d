"""One verdict out of what several STUN servers showed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from p2p.proto.stun.allocation import PortAllocation
from p2p.proto.stun.nat import FilteringBehaviour, MappingBehaviour, NatBehaviour

ValueT = TypeVar("ValueT")

_MAPPINGS = (
    MappingBehaviour.ENDPOINT_INDEPENDENT,
    MappingBehaviour.ADDRESS_DEPENDENT,
    MappingBehaviour.ADDRESS_AND_PORT_DEPENDENT,
)
_FILTERINGS = (
    FilteringBehaviour.ENDPOINT_INDEPENDENT,
    FilteringBehaviour.ADDRESS_DEPENDENT,
    FilteringBehaviour.ADDRESS_AND_PORT_DEPENDENT,
)


def combine(behaviours: Sequence[NatBehaviour]) -> NatBehaviour:
    """Join the results of tests against several servers of one address family.

    What one server could not show is taken from another. Where two contradict each other, the harder behaviour counts:
    a filter or a mapping that was seen is there, though perhaps not on the way to every server.

    Args:
        behaviours: In the order in which the servers are trusted to be near; at least one.
    """
    if len(behaviours) == 1:
        return behaviours[0]
    answered = [behaviour for behaviour in behaviours if behaviour.udp] or list(behaviours)
    first = answered[0]
    allocated = next((one for one in answered if one.allocation is not PortAllocation.UNKNOWN), first)
    return replace(
        first,
        udp=_udp(behaviours),
        mapped_hosts=tuple(dict.fromkeys(host for one in answered for host in one.mapped_hosts)),
        translated=_known(one.translated for one in answered),
        mapping=_hardest((one.mapping for one in answered), _MAPPINGS.index, MappingBehaviour.UNKNOWN),
        mapping_is_dependent=_any(one.mapping_is_dependent for one in answered),
        filtering=_hardest((one.filtering for one in answered), _FILTERINGS.index, FilteringBehaviour.UNKNOWN),
        answers_from_other_port=_known(one.answers_from_other_port for one in answered),
        answers_from_other_ip=_known(one.answers_from_other_ip for one in answered),
        port_preserved=_known(one.port_preserved for one in answered),
        allocation=allocated.allocation,
        port_step=allocated.port_step,
        port_range=_range(answered),
        parity_kept=allocated.parity_kept,
        contiguity_kept=allocated.contiguity_kept,
        hairpinning=_any(one.hairpinning for one in answered),
        other_address=_known(one.other_address for one in answered),
        round_trip_s=min((one.round_trip_s for one in answered if one.round_trip_s is not None), default=None),
        observations=tuple(observation for one in answered for observation in one.observations),
        samples=tuple(sample for one in answered for sample in one.samples),
    )


def _udp(behaviours: Iterable[NatBehaviour]) -> bool | None:
    """UDP is blocked only where no server could be reached."""
    return _any(behaviour.udp for behaviour in behaviours)


def _known(values: Iterable[ValueT | None]) -> ValueT | None:
    return next((value for value in values if value is not None), None)


def _any(values: Iterable[bool | None]) -> bool | None:
    known = [value for value in values if value is not None]
    return any(known) if known else None


def _hardest(values: Iterable[ValueT], hardness: Callable[[ValueT], int], unknown: ValueT) -> ValueT:
    return max((value for value in values if value is not unknown), key=hardness, default=unknown)


def _range(behaviours: Iterable[NatBehaviour]) -> tuple[int, int] | None:
    ranges = [behaviour.port_range for behaviour in behaviours if behaviour.port_range is not None]
    return (min(low for low, _ in ranges), max(high for _, high in ranges)) if ranges else None
