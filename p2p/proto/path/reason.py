"""Why two peers are on a relay: what their networks do, and what follows from it.

What plain simultaneous checks can do, by the mapping of one side (rows) and of the other (columns); "filter" is
the filtering of the side named:

| mapping | endpoint-independent | address-dependent | address-and-port-dependent |
|---|---|---|---|
| endpoint-independent | always | unless the row's filter looks at ports | unless the row's filter looks at ports |
| address-dependent | | one filter independent, the other at most by address | the same |
| address-and-port-dependent | | | never |

A NAT with a pool of outside addresses that keeps the port hides the address instead: the other side must not filter.

Source: RFC 4787 sections 4 and 5, RFC 5128 section 3.3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar

from p2p.errors import DecodeError
from p2p.proto.path.path import PairReport
from p2p.proto.stun.nat import FilteringBehaviour, MappingBehaviour, NatBehaviour, PortAllocation

_DEPENDENT: Final = (MappingBehaviour.ADDRESS_DEPENDENT, MappingBehaviour.ADDRESS_AND_PORT_DEPENDENT)
_EnumT = TypeVar("_EnumT", bound=StrEnum)

_PORTS: Final = 1 << 16
_BY_PORT: Final = FilteringBehaviour.ADDRESS_AND_PORT_DEPENDENT


@dataclass(frozen=True, slots=True)
class NatFacts:
    """What one peer knows of the network in front of it; the peers tell each other in offer and answer.

    Attributes:
        mapping: How the NAT picks the outside port; endpoint-independent without a NAT.
        filtering: Whose packets it lets in; endpoint-independent without a NAT or firewall.
        dependent: Whether the outside port depends on the destination at all; may be known when ``mapping``, which
            says on what, is not.
        udp_blocked: Whether no UDP gets through; None when not known.
        port_preserving: Whether the outside port equals the inside one; None when not known.
        allocation: How the NAT picks the port of a new mapping.
        port_step: The distance between consecutive ports, with its sign, when they are sequential.
        direct_disabled: Whether the peer's user wants no direct path.
        birthday_disabled: Whether the peer's user does not want many ports to be tried at random.
    """

    mapping: MappingBehaviour = MappingBehaviour.UNKNOWN
    filtering: FilteringBehaviour = FilteringBehaviour.UNKNOWN
    dependent: bool | None = None
    udp_blocked: bool | None = None
    port_preserving: bool | None = None
    allocation: PortAllocation = PortAllocation.UNKNOWN
    port_step: int | None = None
    direct_disabled: bool = False
    birthday_disabled: bool = False

    @classmethod
    def of(cls, behaviour: NatBehaviour, *, direct_disabled: bool = False, birthday_disabled: bool = False) -> NatFacts:
        """Take what the STUN tests found out.

        Args:
            behaviour: From ``BehaviourDiscovery``.
            direct_disabled: See the attribute.
            birthday_disabled: See the attribute.
        """
        return cls(
            behaviour.mapping,
            behaviour.filtering,
            behaviour.mapping_is_dependent,
            None if behaviour.udp is None else not behaviour.udp,
            behaviour.port_preserved,
            behaviour.allocation,
            behaviour.port_step,
            direct_disabled,
            birthday_disabled,
        )

    @property
    def is_dependent(self) -> bool:
        """Whether the outside port is known to depend on the destination."""
        return self.mapping in _DEPENDENT or self.dependent is True

    @property
    def is_independent(self) -> bool:
        """Whether the outside port is known to be the same for all destinations."""
        return self.mapping is MappingBehaviour.ENDPOINT_INDEPENDENT

    @property
    def has_address_pool(self) -> bool:
        """Whether it is the outside IP address that depends on the destination: a port that is kept cannot."""
        return self.is_dependent and self.allocation is PortAllocation.PRESERVING

    def to_wire(self) -> dict[str, str | bool | int | None]:
        """The facts as JSON values."""
        return {
            "mapping": self.mapping.value,
            "filtering": self.filtering.value,
            "dependent": self.dependent,
            "udp_blocked": self.udp_blocked,
            "port_preserving": self.port_preserving,
            "allocation": self.allocation.value,
            "port_step": self.port_step,
            "direct_disabled": self.direct_disabled,
            "birthday_disabled": self.birthday_disabled,
        }

    @classmethod
    def from_wire_untrusted(cls, value: object) -> NatFacts:
        """Read the peer's facts. What is missing or has a value of a later version is unknown.

        Args:
            value: What ``to_wire`` gave at the other side, after JSON.

        Raises:
            DecodeError: The value is no object.
        """
        if not isinstance(value, Mapping):
            raise DecodeError("NAT facts are an object")
        port_step = value.get("port_step")
        if isinstance(port_step, bool) or not isinstance(port_step, int) or not 0 < abs(port_step) < _PORTS:
            port_step = None
        return cls(
            _member(MappingBehaviour, value.get("mapping"), MappingBehaviour.UNKNOWN),
            _member(FilteringBehaviour, value.get("filtering"), FilteringBehaviour.UNKNOWN),
            _flag(value.get("dependent")),
            _flag(value.get("udp_blocked")),
            _flag(value.get("port_preserving")),
            _member(PortAllocation, value.get("allocation"), PortAllocation.UNKNOWN),
            port_step,
            value.get("direct_disabled") is True,
            value.get("birthday_disabled") is True,
        )


def _member(names: type[_EnumT], value: object, otherwise: _EnumT) -> _EnumT:
    return next((known for known in names if known.value == value), otherwise)


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def plain_checks_can_succeed(one: NatFacts, other: NatFacts) -> bool | None:
    """Tell whether plain checks between two NATs can succeed at all, by the table above.

    Other ways (the same LAN, IPv6, a port mapping, guessed ports) may succeed all the same.

    Args:
        one: About one side's network.
        other: About the other's; the order does not matter.

    Returns:
        None when too little is known.
    """
    sides = (one, other)
    if any(side.direct_disabled or side.udp_blocked for side in sides):
        return False
    if not all(side.is_dependent or side.is_independent for side in sides):
        return None
    dependent = [side for side in sides if side.is_dependent]
    if not dependent:
        return True
    if len(dependent) == 1:
        easy = other if one.is_dependent else one
        if easy.filtering is FilteringBehaviour.UNKNOWN:
            return None
        if dependent[0].has_address_pool:
            return easy.filtering is FilteringBehaviour.ENDPOINT_INDEPENDENT
        return easy.filtering is not _BY_PORT
    if all(side.mapping is MappingBehaviour.ADDRESS_AND_PORT_DEPENDENT for side in sides):
        return False
    filterings = [side.filtering for side in sides]
    if _BY_PORT in filterings:
        return False
    if FilteringBehaviour.UNKNOWN in filterings or MappingBehaviour.UNKNOWN in (one.mapping, other.mapping):
        return None
    return FilteringBehaviour.ENDPOINT_INDEPENDENT in filterings


class RelayReasonCode(StrEnum):
    """Stable names of the reasons."""

    DIRECT_DISABLED = "direct-disabled"
    UDP_BLOCKED_HERE = "udp-blocked-here"
    UDP_BLOCKED_THERE = "udp-blocked-there"
    DIRECT_PATH_LOST = "direct-path-lost"
    NO_COMMON_ADDRESS = "no-common-address"
    BOTH_MAPPINGS_DEPENDENT = "both-mappings-dependent"
    PORT_FILTERING_HERE = "dependent-mapping-meets-port-filtering-here"
    PORT_FILTERING_THERE = "dependent-mapping-meets-port-filtering-there"
    ADDRESS_POOL_HERE = "address-pool-here"
    ADDRESS_POOL_THERE = "address-pool-there"
    CHECKS_UNANSWERED = "checks-unanswered"


@dataclass(frozen=True, slots=True)
class RelayReason:
    """Why the traffic goes over a relay.

    Attributes:
        code: A stable name for programs.
        text: What is the matter, for people.
        remedy: What would change it.
        certain: Whether it follows from what was measured, and is not only the likeliest cause.
    """

    code: RelayReasonCode
    text: str
    remedy: str
    certain: bool = True


_OPEN_A_PORT: Final = (
    "Use IPv6 on both sides, or let one of the routers forward a UDP port: switch on UPnP, NAT-PMP or PCP, "
    "or write a rule by hand."
)
_ALLOW_BIRTHDAY: Final = "Start both sides without `--no-birthday`, so that ports may be guessed. "
_LIKELY: Final = " This is the likeliest cause: the filtering could not be measured."
_TEXTS: Final = {
    RelayReasonCode.DIRECT_DISABLED: (
        "Direct paths are switched off on one of the sides.",
        "Start without the switch that forces the relay.",
    ),
    RelayReasonCode.UDP_BLOCKED_HERE: (
        "The network here lets no UDP through.",
        "Allow outgoing UDP in the firewall here, or go on using the relay.",
    ),
    RelayReasonCode.UDP_BLOCKED_THERE: (
        "The other side's network lets no UDP through.",
        "Allow outgoing UDP in the firewall there, or go on using the relay.",
    ),
    RelayReasonCode.DIRECT_PATH_LOST: (
        "There was a direct path, and it stopped answering; it is tried again by itself.",
        "Wait, or look for what changed: a NAT that restarted, a firewall rule, another network.",
    ),
    RelayReasonCode.NO_COMMON_ADDRESS: (
        "The two sides have no addresses that could be tried together: one has only IPv4 and the other only IPv6.",
        "Give both sides IPv4, or both IPv6.",
    ),
    RelayReasonCode.BOTH_MAPPINGS_DEPENDENT: (
        "Both NATs use another outside port for each destination, so neither side can tell where to send.",
        _OPEN_A_PORT,
    ),
    RelayReasonCode.PORT_FILTERING_HERE: (
        "The other side's NAT uses another outside port for each destination, and the NAT here lets in only packets "
        "from a port that was sent to.",
        _OPEN_A_PORT,
    ),
    RelayReasonCode.PORT_FILTERING_THERE: (
        "The NAT here uses another outside port for each destination, and the other side's NAT lets in only packets "
        "from a port that was sent to.",
        _OPEN_A_PORT,
    ),
    RelayReasonCode.ADDRESS_POOL_HERE: (
        "The NAT here uses another outside address for each destination, and the other side's NAT lets in only "
        "addresses that were sent to.",
        _OPEN_A_PORT,
    ),
    RelayReasonCode.ADDRESS_POOL_THERE: (
        "The other side's NAT uses another outside address for each destination, and the NAT here lets in only "
        "addresses that were sent to.",
        _OPEN_A_PORT,
    ),
    RelayReasonCode.CHECKS_UNANSWERED: (
        "Nothing known of the two networks forbids a direct path, but no check was answered.",
        "Run `p2p nat` on both sides; the usual cause is a firewall that drops UDP between the two.",
    ),
}
_FROM_FILTERING: Final = (
    RelayReasonCode.BOTH_MAPPINGS_DEPENDENT,
    RelayReasonCode.PORT_FILTERING_HERE,
    RelayReasonCode.PORT_FILTERING_THERE,
    RelayReasonCode.ADDRESS_POOL_HERE,
    RelayReasonCode.ADDRESS_POOL_THERE,
)
_BY_GUESSING: Final = (RelayReasonCode.PORT_FILTERING_HERE, RelayReasonCode.PORT_FILTERING_THERE)


def why_relayed(local: NatFacts, remote: NatFacts, report: Sequence[PairReport] = ()) -> RelayReason:
    """Say why no direct path carries the traffic.

    Args:
        local: About our network.
        remote: About the peer's.
        report: What became of each pair, from ``PathController.report``; empty when nothing was tried yet.
    """
    code = _code(local, remote, report)
    text, remedy = _TEXTS[code]
    if code in _BY_GUESSING and (local.birthday_disabled or remote.birthday_disabled):
        remedy = _ALLOW_BIRTHDAY + remedy
    if code in _FROM_FILTERING and plain_checks_can_succeed(local, remote) is None:
        return RelayReason(code, text + _LIKELY, remedy, certain=False)
    return RelayReason(code, text, remedy)


def _code(local: NatFacts, remote: NatFacts, report: Sequence[PairReport]) -> RelayReasonCode:
    direct = [pair for pair in report if not pair.relayed]
    if local.direct_disabled or remote.direct_disabled:
        return RelayReasonCode.DIRECT_DISABLED
    if local.udp_blocked:
        return RelayReasonCode.UDP_BLOCKED_HERE
    if remote.udp_blocked:
        return RelayReasonCode.UDP_BLOCKED_THERE
    if any(pair.reason == "lost" for pair in direct):
        return RelayReasonCode.DIRECT_PATH_LOST
    if report and not direct:
        return RelayReasonCode.NO_COMMON_ADDRESS
    if plain_checks_can_succeed(local, remote) is not True:
        if local.is_dependent and remote.is_dependent:
            return RelayReasonCode.BOTH_MAPPINGS_DEPENDENT
        if local.is_dependent and remote.is_independent:
            pool = local.has_address_pool
            return RelayReasonCode.ADDRESS_POOL_HERE if pool else RelayReasonCode.PORT_FILTERING_THERE
        if remote.is_dependent and local.is_independent:
            pool = remote.has_address_pool
            return RelayReasonCode.ADDRESS_POOL_THERE if pool else RelayReasonCode.PORT_FILTERING_HERE
    return RelayReasonCode.CHECKS_UNANSWERED
