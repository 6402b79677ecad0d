"""A session's state as the values that events and status hold."""

from __future__ import annotations

from typing import Any

from p2p.proto.path import path as proto_path
from p2p.proto.path import reason as proto_reason
from p2p.proto.stun.behaviour import FilteringBehaviour, MappingBehaviour
from p2p.session.node import Node
from p2p.session.peer_session import PeerSession
from p2p.session.status import (
    CheckCounts,
    NatFacts,
    PairStatus,
    PathKind,
    PathTransport,
    RelayedReason,
    RelayPlace,
    SessionNat,
    SessionStatus,
)

SHORT_ID_CHARACTERS = 8


def short_id(session: PeerSession) -> str:
    """The id of a session as users see it: enough to tell those of one process apart."""
    return session.session_id[:SHORT_ID_CHARACTERS]


def relayed_reason(reason: proto_reason.RelayReason) -> RelayedReason:
    """The reason for staying on a relay, with what would change it."""
    return RelayedReason(reason.code.value, reason.text, reason.remedy, reason.certain)


def session_nat(session: PeerSession, node: Node) -> SessionNat:
    """What both sides know of their networks."""
    return SessionNat(nat_facts(node), plain_facts(session.remote_facts))


def session_pairs(session: PeerSession) -> tuple[PairStatus, ...]:
    """What became of each candidate pair, best first."""
    return tuple(_pair(report) for report in session.controller.report())


def path_fields(session: PeerSession) -> dict[str, Any]:
    """What events say of a session's path: the keyword arguments of the event classes."""
    path = session.path or session.controller.selected_path
    if path is None:
        return {"path": PathKind.RELAY}
    return {
        "path": _kind(path),
        "transport": PathTransport(path.relay_protocol.value),
        "address": path.remote,
        "rtt_s": session.rtt_s,
    }


def session_status(session: PeerSession, node: Node) -> SessionStatus:
    """Everything worth showing about a session.

    Args:
        session: Which one.
        node: What it lives on.
    """
    path = session.path
    figures = session.multiplexer.snapshot()
    return SessionStatus(
        session=short_id(session),
        peer=str(session.peer),
        since_wall=session.since_wall,
        path=None if path is None else _kind(path),
        transport=PathTransport.UDP if path is None else PathTransport(path.relay_protocol.value),
        address=None if path is None else path.remote,
        rtt_s=session.rtt_s,
        packet_bytes=None if path is None else session.controller.packet_bytes(path),
        relayed=None if session.reason is None else relayed_reason(session.reason),
        bytes_in=figures.bytes_in,
        bytes_out=figures.bytes_out,
        flows_open=figures.flows_open,
        flows_total=figures.flows_total,
        datagrams_dropped=figures.datagrams_dropped,
        pairs=session_pairs(session),
        history=tuple(session.history),
        nat=session_nat(session, node),
    )


def check_counts(node: Node) -> CheckCounts:
    """What all sessions of a node have sent to find paths."""
    stats = node.endpoint.stats
    return CheckCounts(
        checks=stats.checks,
        heartbeats=stats.heartbeats,
        guesses=stats.guesses,
        withheld=node.endpoint.check_budget.denied,
    )


def relay_place(node: Node) -> RelayPlace | None:
    """Our address on a relay, when we have one."""
    relay = node.relay
    if relay is None:
        return None
    transport = PathTransport(relay.protocol.value)
    return RelayPlace(address=relay.local_address, server=relay.server, transport=transport, region=relay.region)


def nat_facts(node: Node) -> NatFacts:
    """What is known of our NAT, in plain words."""
    return plain_facts(node.facts, node.mapped_address)


def plain_facts(facts: proto_reason.NatFacts, mapped_address: Any = None) -> NatFacts:
    """Turn a protocol's facts into plain values; unknown becomes None."""
    return NatFacts(
        mapping=None if facts.mapping is MappingBehaviour.UNKNOWN else facts.mapping.value.replace("-", "_"),
        filtering=None if facts.filtering is FilteringBehaviour.UNKNOWN else facts.filtering.value.replace("-", "_"),
        port_preserving=facts.port_preserving,
        udp_blocked=facts.udp_blocked,
        mapped_address=mapped_address,
    )


def _kind(path: proto_path.Path) -> PathKind:
    return PathKind.DIRECT if path.is_direct else PathKind.RELAY


def _pair(report: proto_path.PairReport) -> PairStatus:
    detail = f"{report.reason} after {report.attempts} checks" if report.reason else ""
    return PairStatus(
        local=f"{report.local_type} {report.local}",
        remote=f"{report.remote_type} {report.remote}",
        state=report.state,
        detail=detail,
        rtt_s=report.rtt_s,
        local_type=report.local_type.value,
        local_address=str(report.local),
        remote_type=report.remote_type.value,
        remote_address=str(report.remote),
        relayed=report.relayed,
        end=report.reason,
        attempts=report.attempts,
        selected=report.selected,
    )
