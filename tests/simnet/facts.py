"""What a peer finds out about the NAT in front of it."""

from __future__ import annotations

from p2p.proto.path import NatFacts
from p2p.proto.stun.nat import FilteringBehaviour, MappingBehaviour, PortAllocation
from tests.simnet.nat import Allocator, Dependence, NatBehaviour

_MAPPING = {
    Dependence.INDEPENDENT: MappingBehaviour.ENDPOINT_INDEPENDENT,
    Dependence.ADDRESS: MappingBehaviour.ADDRESS_DEPENDENT,
    Dependence.ADDRESS_AND_PORT: MappingBehaviour.ADDRESS_AND_PORT_DEPENDENT,
}
_FILTERING = {
    Dependence.INDEPENDENT: FilteringBehaviour.ENDPOINT_INDEPENDENT,
    Dependence.ADDRESS: FilteringBehaviour.ADDRESS_DEPENDENT,
    Dependence.ADDRESS_AND_PORT: FilteringBehaviour.ADDRESS_AND_PORT_DEPENDENT,
}
_ALLOCATION = {
    Allocator.PRESERVING: PortAllocation.PRESERVING,
    Allocator.SEQUENTIAL: PortAllocation.SEQUENTIAL,
    Allocator.RANDOM: PortAllocation.RANDOM,
    Allocator.RANGE: PortAllocation.RANDOM,
}


def facts_of(behaviour: NatBehaviour | None) -> NatFacts:
    """What a peer behind this NAT finds out about it; None is no NAT."""
    behaviour = behaviour or NatBehaviour()
    if behaviour.udp_blocked:
        return NatFacts(udp_blocked=True)
    return NatFacts(
        _MAPPING[behaviour.mapping],
        _FILTERING[behaviour.filtering],
        udp_blocked=False,
        allocation=_ALLOCATION[behaviour.allocator],
        port_step=behaviour.step if behaviour.allocator is Allocator.SEQUENTIAL else None,
    )
