"""What a network means for direct paths, in one sentence for a person and one word for a program."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from p2p.defaults import BIRTHDAY_S
from p2p.proto.stun.nat import FilteringBehaviour, MappingBehaviour, NatBehaviour, PortAllocation

_DEPENDENT = (MappingBehaviour.ADDRESS_DEPENDENT, MappingBehaviour.ADDRESS_AND_PORT_DEPENDENT)
_LETS_ANY_PORT_IN = (FilteringBehaviour.ENDPOINT_INDEPENDENT, FilteringBehaviour.ADDRESS_DEPENDENT)
_SPRAY = f"in up to {BIRTHDAY_S:.0f} s"


class OutlookKind(StrEnum):
    """How far direct paths will go, from the best to the worst."""

    EVERYBODY = "everybody"
    """Plain checks work with every network that lets UDP out."""
    ALMOST_EVERYBODY = "almost_everybody"
    """The same, but ports must be guessed where the other side's NAT picks them anew for each destination."""
    MOST = "most"
    """Ports are guessed at both ends where the other side filters by port; some pairs stay on the relay."""
    SOME = "some"
    """Direct with the networks that let in any port of an address they have sent to."""
    RELAY_ONLY = "relay_only"
    """No UDP, but a relay over TCP or TLS."""
    NOTHING = "nothing"
    """No UDP, and no relay."""
    UNKNOWN = "unknown"
    """Too little could be found out."""


class Outlook(NamedTuple):
    """What to expect.

    Attributes:
        kind: For programs.
        sentence: For people; without its full stop.
    """

    kind: OutlookKind
    sentence: str


def judge_outlook(
    behaviour: NatBehaviour,
    *,
    udp: bool | None,
    relay: bool | None,
    ipv6: bool | None = None,
    port_mapping: bool | None = None,
) -> Outlook:
    """Say what a network means for direct paths.

    Args:
        behaviour: What is known of the NAT.
        udp: Whether UDP passes.
        relay: Whether a relay can be reached by any means; None when none was asked.
        ipv6: Whether UDP passes over IPv6.
        port_mapping: Whether the router opens ports on request.
    """
    if udp is False:
        if relay:
            return Outlook(OutlookKind.RELAY_ONLY, "UDP does not pass here: connections will go over the relay")
        if relay is False:
            sentence = "UDP does not pass here and no relay can be reached: nothing will connect"
            return Outlook(OutlookKind.NOTHING, sentence)
        return Outlook(OutlookKind.NOTHING, "UDP does not pass here: direct connections will not work")
    if udp is None:
        kind = OutlookKind.RELAY_ONLY if relay else OutlookKind.UNKNOWN
        rest = "; a relay can be reached, so connections will work" if relay else ""
        return Outlook(kind, f"no STUN server answers, so that nothing is known of direct connections{rest}")
    if port_mapping and not _is_open(behaviour):
        sentence = "direct connections will work with everybody who can send UDP: the router opens a port on request"
        return Outlook(OutlookKind.EVERYBODY, sentence)
    outlook = _by_behaviour(behaviour)
    if ipv6 and outlook.kind is not OutlookKind.EVERYBODY:
        return outlook._replace(sentence=f"{outlook.sentence}; over IPv6 with everybody who has it too")
    return outlook


def _is_open(behaviour: NatBehaviour) -> bool:
    return behaviour.mapping is MappingBehaviour.ENDPOINT_INDEPENDENT and behaviour.filtering in _LETS_ANY_PORT_IN


def _by_behaviour(behaviour: NatBehaviour) -> Outlook:
    if behaviour.mapping is MappingBehaviour.ENDPOINT_INDEPENDENT:
        return _independent(behaviour)
    if behaviour.mapping in _DEPENDENT or behaviour.mapping_is_dependent:
        return _dependent(behaviour)
    sentence = "direct connections are possible, but how the NAT maps ports is not known"
    return Outlook(OutlookKind.UNKNOWN, sentence)


def _independent(behaviour: NatBehaviour) -> Outlook:
    if behaviour.filtering in _LETS_ANY_PORT_IN:
        why = "" if behaviour.translated is not False else ": there is no NAT here"
        return Outlook(OutlookKind.EVERYBODY, f"direct connections will work with everybody who can send UDP{why}")
    sentence = f"direct connections will work with almost everybody; with random symmetric NATs {_SPRAY}"
    if behaviour.filtering is FilteringBehaviour.UNKNOWN:
        sentence += " at worst"
    return Outlook(OutlookKind.ALMOST_EVERYBODY, sentence)


def _dependent(behaviour: NatBehaviour) -> Outlook:
    easy = "direct connections will work at once with networks that do not filter by port"
    match behaviour.allocation:
        case PortAllocation.SEQUENTIAL:
            sentence = (
                "direct connections will work with most networks, where ports must be guessed within about a second; "
                "with random symmetric NATs only the relay will"
            )
            return Outlook(OutlookKind.MOST, sentence)
        case PortAllocation.RANDOM:
            sentence = f"{easy}, {_SPRAY} with most others; with other symmetric NATs only the relay will"
            return Outlook(OutlookKind.MOST, sentence)
        case PortAllocation.PRESERVING:
            sentence = f"{easy}; with the rest only the relay will: each destination sees another address of ours"
            return Outlook(OutlookKind.SOME, sentence)
        case _:
            return Outlook(OutlookKind.SOME, f"{easy}; with the rest the relay may have to do")
