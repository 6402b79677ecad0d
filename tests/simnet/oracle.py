"""What theory says about two NATs, written apart from the product's own opinion."""

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
}
OPEN = NatBehaviour()


def facts_of(behaviour: NatBehaviour | None) -> NatFacts:
    """What a peer behind this NAT finds out about it; None is no NAT."""
    behaviour = behaviour or OPEN
    if behaviour.udp_blocked:
        return NatFacts(udp_blocked=True)
    allocation = _ALLOCATION[behaviour.allocator]
    return NatFacts(
        _MAPPING[behaviour.mapping],
        _FILTERING[behaviour.filtering],
        udp_blocked=False,
        allocation=allocation,
        port_step=1 if allocation is PortAllocation.SEQUENTIAL else None,
    )


def direct_possible(one: NatBehaviour | None, other: NatBehaviour | None) -> bool:
    """Whether plain checks connect two hosts behind these NATs.

    The port in a check from a dependent mapping is one that its receiver never sent to, and that no one was
    told. So somebody must let in a packet from an unforeseen port, and the answer to it must find its way back.
    """
    one, other = one or OPEN, other or OPEN
    if one.udp_blocked or other.udp_blocked:
        return False
    hard = [side for side in (one, other) if side.mapping is not Dependence.INDEPENDENT]
    easy = [side for side in (one, other) if side.mapping is Dependence.INDEPENDENT]
    if not hard:
        return True
    if easy:
        # The easy side has sent to the hard side's address, if not to this port of it.
        return easy[0].filtering is not Dependence.ADDRESS_AND_PORT
    # The first packet comes from a port that nobody sent to, to a mapping made for the reflector alone.
    for receiver, sender in ((one, other), (other, one)):
        lets_first_in = receiver.filtering is Dependence.INDEPENDENT
        lets_reply_in = sender.filtering is not Dependence.ADDRESS_AND_PORT
        # A mapping by address lets further packets between the two go by the ports already seen.
        settles = Dependence.ADDRESS in (receiver.mapping, sender.mapping)
        if lets_first_in and lets_reply_in and settles:
            return True
    return False
