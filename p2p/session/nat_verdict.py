"""The report of ``p2p nat`` out of what the tests found: verdicts, what is unknown and why."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from p2p.address import TransportAddress
from p2p.gather.portmap.probe import PortMappingFacts
from p2p.proto.path.reason import NatFacts as ProtocolFacts
from p2p.proto.stun.behaviour import FilteringBehaviour, MappingBehaviour, NatBehaviour, PortAllocation
from p2p.proto.stun.combine import combine
from p2p.session.describe import plain_facts
from p2p.session.nat_report import Allocator, Ipv6Report, NatReport, RelayReach, ServerReach
from p2p.session.outlook import judge_outlook
from p2p.session.router_report import judge_router, router_notes
from p2p.session.status import NatFacts, PathTransport

_NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What the tests brought.

    Attributes:
        ipv4: What each IPv4 STUN server showed.
        ipv6: The same for IPv6.
        over_tcp: Whether those that are silent over UDP answer over TCP.
        relays: Which relays answer.
        has_relays: Whether there were relays to ask.
        classic_name: The second opinion.
        hosts: This host's addresses.
        router: What routers say of opening ports, or why they were not asked.
        notes: What else went wrong.
    """

    ipv4: Mapping[TransportAddress, NatBehaviour]
    ipv6: Mapping[TransportAddress, NatBehaviour]
    over_tcp: Mapping[TransportAddress, bool]
    relays: tuple[RelayReach, ...]
    has_relays: bool
    classic_name: str | None
    hosts: tuple[str, ...]
    router: PortMappingFacts | str = "the router was not asked"
    notes: tuple[str, ...] = ()


def make_report(findings: Findings) -> NatReport:
    """Judge.

    Args:
        findings: All of them.
    """
    v4 = combine(list(findings.ipv4.values())) if findings.ipv4 else None
    v6 = combine(list(findings.ipv6.values())) if findings.ipv6 else None
    main = v4 or v6 or NatBehaviour()
    udp = _udp(findings, v4, v6)
    relay = any(reach.reachable for reach in findings.relays) if findings.has_relays else None
    ipv6 = _ipv6(findings, v6)
    seen = {host for behaviour in (v4, v6) if behaviour is not None for host in behaviour.mapped_hosts}
    router = None if isinstance(findings.router, str) else judge_router(findings.router, seen)
    return NatReport(
        facts=replace(_facts(main), udp_blocked=None if udp is None else not udp),
        outlook=judge_outlook(
            main,
            udp=udp,
            relay=relay,
            ipv6=ipv6.reachable if v4 is not None else None,
            port_mapping=router is not None and router.is_useful,
        ),
        local_addresses=tuple(TransportAddress(host, 0) for host in findings.hosts),
        translated=main.translated,
        mapped_hosts=main.mapped_hosts,
        ipv4=None if v4 is None else v4.udp,
        ipv6=ipv6,
        hairpinning=main.hairpinning,
        allocator=_allocator(main),
        router=router,
        classic_name=findings.classic_name,
        stun_rtt_s=main.round_trip_s,
        servers=_servers(findings),
        relays=findings.relays,
        unknown=_unknown(findings, main, udp, ipv6),
        notes=(*findings.notes, *_notes(main), *([] if router is None else router_notes(router, seen))),
    )


def _udp(findings: Findings, v4: NatBehaviour | None, v6: NatBehaviour | None) -> bool | None:
    """UDP that does not pass and servers that are down look alike, until the same servers are reached otherwise."""
    tested = [behaviour.udp for behaviour in (v4, v6) if behaviour is not None]
    if any(tested):
        return True
    relays_over = {reach.transport for reach in findings.relays if reach.reachable}
    only_by_stream = bool(relays_over) and PathTransport.UDP not in relays_over
    if tested and all(udp is False for udp in tested) and (only_by_stream or any(findings.over_tcp.values())):
        return False
    # A relay that answers over UDP is proof enough that UDP passes.
    return True if PathTransport.UDP in relays_over else None


def _facts(behaviour: NatBehaviour) -> NatFacts:
    facts = plain_facts(ProtocolFacts.of(behaviour), behaviour.mapped_address)
    if behaviour.translated is False:
        facts = replace(facts, mapping=_NONE)
        if behaviour.filtering is FilteringBehaviour.ENDPOINT_INDEPENDENT:
            facts = replace(facts, filtering=_NONE)
    return facts


def _allocator(behaviour: NatBehaviour) -> Allocator | None:
    if behaviour.allocation is PortAllocation.UNKNOWN:
        return None
    return Allocator(
        kind=behaviour.allocation.value,
        step=behaviour.port_step,
        port_range=behaviour.port_range,
        parity_kept=behaviour.parity_kept,
        contiguity_kept=behaviour.contiguity_kept,
    )


def _ipv6(findings: Findings, v6: NatBehaviour | None) -> Ipv6Report:
    present = any(":" in host and not ipaddress.ip_address(host).is_loopback for host in findings.hosts)
    if v6 is None:
        return Ipv6Report(present=present)
    facts = _facts(v6)
    return Ipv6Report(present=present, reachable=v6.udp, mapped_address=v6.mapped_address, filtering=facts.filtering)


def answering_servers(behaviours: Iterable[NatBehaviour]) -> set[TransportAddress]:
    """Tell which STUN servers answered over UDP.

    Args:
        behaviours: Of tests that may have asked several servers each.
    """
    return {observation.destination for behaviour in behaviours for observation in behaviour.observations}


def _servers(findings: Findings) -> tuple[ServerReach, ...]:
    tested = {**findings.ipv4, **findings.ipv6}
    answering = answering_servers(tested.values())
    return tuple(
        ServerReach(
            address=address,
            udp=behaviour.udp and address in answering,
            tcp=findings.over_tcp.get(address),
            rtt_s=behaviour.round_trip_s,
            other_address=behaviour.other_address,
        )
        for address, behaviour in tested.items()
    )


def _unknown(findings: Findings, main: NatBehaviour, udp: bool | None, ipv6: Ipv6Report) -> dict[str, str]:
    """Say why something is not known, by the name of its field."""
    reasons: dict[str, str] = {}
    if isinstance(findings.router, str):
        reasons["port_mapping"] = findings.router
    elif not findings.router.gateways:
        reasons["port_mapping"] = "this host has no default route"
    if ipv6.present and ipv6.reachable is None:
        reasons["ipv6"] = "no STUN server with an IPv6 address was named"
    if udp is None:
        asked = bool(findings.ipv4 or findings.ipv6)
        reasons["udp_blocked"] = (
            "no STUN server answers, over UDP or TCP: they are down, or nothing passes to them"
            if asked
            else "no STUN server could be asked"
        )
    if not main.udp:
        return reasons
    if main.mapping is MappingBehaviour.UNKNOWN:
        reasons["mapping"] = (
            "it changes with the destination, but the servers cannot tell on what it depends"
            if main.mapping_is_dependent
            else "all servers that answered have one IP address: another one might see us elsewhere"
        )
    if main.filtering is FilteringBehaviour.UNKNOWN:
        reasons["filtering"] = (
            "no server has a second address to answer from (RFC 5780)"
            if main.other_address is None
            else "the server does not answer from its second address, or answers take too long"
        )
    if main.hairpinning is None:
        reasons["hairpinning"] = (
            "there is no NAT"
            if main.translated is False
            else "where the mapping depends on the destination nobody else can use it"
        )
    if main.allocation is PortAllocation.UNKNOWN:
        reasons["allocator"] = "too few answers, or ports that fit no pattern"
    return reasons


def _notes(main: NatBehaviour) -> list[str]:
    notes = []
    if len(main.mapped_hosts) > 1:
        addresses = ", ".join(main.mapped_hosts)
        notes.append(f"The NAT has several outside addresses ({addresses}): a provider's, not a router's at home.")
    return notes
