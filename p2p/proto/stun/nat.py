"""What a NAT does, in the words of RFC 4787, and how that is concluded from what was observed.

Unknown is a value of its own here: a test that could not be made says nothing about the NAT.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations
from typing import NamedTuple

from p2p.address import TransportAddress
from p2p.proto.stun.allocation import PortAllocation as PortAllocation
from p2p.proto.stun.allocation import PortSample


class MappingBehaviour(StrEnum):
    """When a NAT gives one inner address another mapped address. Source: RFC 4787 section 4.1."""

    UNKNOWN = "unknown"
    ENDPOINT_INDEPENDENT = "endpoint_independent"
    ADDRESS_DEPENDENT = "address_dependent"
    ADDRESS_AND_PORT_DEPENDENT = "address_and_port_dependent"


class FilteringBehaviour(StrEnum):
    """Whose packets a NAT or firewall lets in. Source: RFC 4787 section 5."""

    UNKNOWN = "unknown"
    ENDPOINT_INDEPENDENT = "endpoint_independent"
    ADDRESS_DEPENDENT = "address_dependent"
    ADDRESS_AND_PORT_DEPENDENT = "address_and_port_dependent"


class MappingObservation(NamedTuple):
    """What a server saw.

    Attributes:
        socket: The index of our socket.
        local: Our address on it.
        destination: The server's address.
        mapped_address: Our address as the server saw it.
    """

    socket: int
    local: TransportAddress
    destination: TransportAddress
    mapped_address: TransportAddress


@dataclass(frozen=True, slots=True, kw_only=True)
class NatBehaviour:
    """What is known of the network between us and the STUN server.

    Attributes:
        udp: Whether UDP to the server works at all.
        mapped_address: Our address as the first server sees it.
        translated: Whether that is not our own address.
        mapping: When the mapped address changes with the destination.
        mapping_is_dependent: Whether it changes at all, also when it is unknown with what.
        filtering: Whose packets come in.
        answers_from_other_port: Whether packets from another port of an address we sent to come in.
        answers_from_other_ip: Whether packets from an address we never sent to come in.
        mapped_hosts: All outside IP addresses that were seen; several where a provider has a pool.
        port_preserved: Whether the mapped port is the local one.
        allocation: Which port a new mapping gets.
        port_step: The distance between consecutive mapped ports, with its sign, when they are sequential.
        port_range: The lowest and the highest mapped port seen, when they are not kept.
        parity_kept: Whether even ports stay even and odd ones odd.
        contiguity_kept: Whether neighbouring ports stay neighbours.
        hairpinning: Whether our sockets reach each other by their mapped addresses.
        other_address: The first server's second address, without which filtering cannot be found out.
        round_trip_s: The time to the first server and back, in seconds.
        observations: What all servers saw of the sockets of the mapping and filtering tests, in the order of our
            requests.
        samples: The ports of the first mappings of all sockets, in the same order.
    """

    udp: bool | None = None
    mapped_address: TransportAddress | None = None
    translated: bool | None = None
    mapping: MappingBehaviour = MappingBehaviour.UNKNOWN
    mapping_is_dependent: bool | None = None
    filtering: FilteringBehaviour = FilteringBehaviour.UNKNOWN
    answers_from_other_port: bool | None = None
    answers_from_other_ip: bool | None = None
    mapped_hosts: tuple[str, ...] = ()
    port_preserved: bool | None = None
    allocation: PortAllocation = PortAllocation.UNKNOWN
    port_step: int | None = None
    port_range: tuple[int, int] | None = None
    parity_kept: bool | None = None
    contiguity_kept: bool | None = None
    hairpinning: bool | None = None
    other_address: TransportAddress | None = None
    round_trip_s: float | None = None
    observations: tuple[MappingObservation, ...] = ()
    samples: tuple[PortSample, ...] = ()


def judge_mapping(observations: Sequence[MappingObservation]) -> MappingBehaviour:
    """Conclude the mapping behaviour from what several servers saw of one socket.

    Two ports of one IP address show whether the port matters, two IP addresses whether the address does.

    Args:
        observations: Of one socket.

    Source: RFC 5780 section 4.3.
    """
    port_matters: bool | None = None
    address_matters: bool | None = None
    for one, other in combinations(observations, 2):
        differs = one.mapped_address != other.mapped_address
        if one.destination.host != other.destination.host:
            address_matters = address_matters or differs
        elif one.destination.port != other.destination.port:
            port_matters = port_matters or differs
    if port_matters:
        return MappingBehaviour.ADDRESS_AND_PORT_DEPENDENT
    if address_matters is None:
        return MappingBehaviour.UNKNOWN
    if not address_matters:
        return MappingBehaviour.ENDPOINT_INDEPENDENT
    return MappingBehaviour.UNKNOWN if port_matters is None else MappingBehaviour.ADDRESS_DEPENDENT


def mapping_is_dependent(observations: Sequence[MappingObservation]) -> bool | None:
    """Conclude whether the mapping depends on the destination at all.

    Args:
        observations: Of one socket.

    Returns:
        None when all are of one IP address and agree: another address may still make a difference.
    """
    if len({observation.mapped_address for observation in observations}) > 1:
        return True
    return False if len({observation.destination.host for observation in observations}) > 1 else None


def judge_filtering(other_port: bool | None, other_ip: bool | None) -> FilteringBehaviour:
    """Conclude the filtering behaviour from which answers came in.

    Args:
        other_port: Whether an answer from the server's other port came in; None when that is not known.
        other_ip: Whether an answer from the server's other IP address and port came in; None when not known.

    Source: RFC 5780 section 4.4.
    """
    if other_ip:
        return FilteringBehaviour.ENDPOINT_INDEPENDENT
    if other_port is False:
        return FilteringBehaviour.ADDRESS_AND_PORT_DEPENDENT
    if other_port and other_ip is False:
        return FilteringBehaviour.ADDRESS_DEPENDENT
    return FilteringBehaviour.UNKNOWN
