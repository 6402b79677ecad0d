"""Which path to send on: a pure function of what is known of each."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from p2p import defaults
from p2p.proto.ice import RelayProtocol
from p2p.proto.path.path import Path

_PROTOCOL_RANK: Final = {RelayProtocol.UDP: 0, RelayProtocol.TCP: 1, RelayProtocol.TLS: 2}


class SelectionReason(StrEnum):
    """Why a path was selected."""

    KEPT = "kept"
    OPTIMISTIC = "optimistic"
    FIRST = "first-validated"
    DIRECT = "direct-validated"
    RELAY_PROTOCOL = "better-relay-protocol"
    QUICKER = "quicker"
    PEER_CHOICE = "nominated-by-peer"
    DOUBT = "present-path-in-doubt"
    LOST = "previous-path-lost"
    RECLASSIFIED = "reclassified"


class PathView(NamedTuple):
    """What the policy looks at.

    Attributes:
        path: The path.
        rtt_s: Smoothed round-trip time, None when not measured yet.
        doubtful: Whether it may be dead.
        held: Whether it has failed before, and came back too recently or without proof that full packets pass.
        nominated: Whether the peer, being in control, chose it.
    """

    path: Path
    rtt_s: float | None
    doubtful: bool = False
    held: bool = False
    nominated: bool = False


class Choice(NamedTuple):
    """The path to send on, and why that one."""

    path: Path
    reason: SelectionReason


def path_class(path: Path) -> tuple[bool, int]:
    """Order the kinds of paths: direct, then relayed over UDP, TCP, TLS. Less is better, whatever the RTT."""
    return not path.is_direct, _PROTOCOL_RANK[path.relay_protocol]


def choose(views: Sequence[PathView], current: Path | None) -> Choice | None:
    """Pick the path to send on.

    A better kind of path wins at once. Within a kind the present path stays until another is quicker by
    ``PATH_RTT_GAIN_S`` and ``PATH_RTT_GAIN_SHARE``, so that equal paths do not take turns; a present path in
    doubt gives way to a sound one of its kind, but not to a lesser kind: for that it must be lost, since data
    goes out on both meanwhile. The path that the peer nominated is preferred by the same margin, so that both
    sides end up on one path and each hears on it that it lives.

    Args:
        views: The validated paths that are not lost.
        current: The present path, None when there is none. A validated one that is not among ``views`` has been
            lost; one that is not validated is no reason to stay.

    Returns:
        The choice, its reason ``KEPT`` when that is the present path, or None when there is no path.
    """
    if not views:
        return None
    best = min(views, key=_rank)
    if current is None or not current.validated:
        return Choice(best.path, SelectionReason.FIRST)
    present = next((view for view in views if view.path.key == current.key), None)
    if present is None:
        return Choice(best.path, SelectionReason.LOST)
    if best is present or best.doubtful or best.held:
        return Choice(present.path, SelectionReason.KEPT)
    best_class, present_class = path_class(best.path), path_class(present.path)
    if best_class < present_class:
        upgrade = best.path.kind is not present.path.kind
        return Choice(best.path, SelectionReason.DIRECT if upgrade else SelectionReason.RELAY_PROTOCOL)
    if best_class == present_class:
        if present.doubtful:
            return Choice(best.path, SelectionReason.DOUBT)
        if best.nominated:
            return Choice(best.path, SelectionReason.PEER_CHOICE)
        if biased_rtt_s(present) - biased_rtt_s(best) > _margin_s(present):
            return Choice(best.path, SelectionReason.QUICKER)
    return Choice(present.path, SelectionReason.KEPT)


def choose_second(views: Sequence[PathView], current: Path) -> Path | None:
    """Pick the path to send on as well while the present one is in doubt.

    Args:
        views: The validated paths that are not lost.
        current: The present path.

    Returns:
        The best other one, doubtful only when all are; None when there is no other.
    """
    others = [view for view in views if view.path.key != current.key]
    return min(others, key=_rank).path if others else None


def biased_rtt_s(view: PathView) -> float:
    """Return the round-trip time that counts: less for IPv6 and for the peer's choice, a guess when unmeasured."""
    rtt_s = _rtt_s(view)
    if view.path.remote.is_ipv6:
        rtt_s -= defaults.PATH_IPV6_BONUS_S
    if view.nominated:
        rtt_s -= _margin_s(view)
    return rtt_s


def _rtt_s(view: PathView) -> float:
    return defaults.PATH_UNMEASURED_RTT_S if view.rtt_s is None else view.rtt_s


def _margin_s(view: PathView) -> float:
    return max(defaults.PATH_RTT_GAIN_S, _rtt_s(view) * defaults.PATH_RTT_GAIN_SHARE)


def _rank(view: PathView) -> tuple[bool, bool, tuple[bool, int], float]:
    return view.doubtful, view.held, path_class(view.path), biased_rtt_s(view)
