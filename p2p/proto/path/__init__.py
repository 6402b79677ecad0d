"""Which path carries a peer now: paths and their health, a pure policy, and why there is no better one."""

from __future__ import annotations

from p2p.proto.path.controller import PathController
from p2p.proto.path.events import (
    AllPathsLost,
    ChecksExhausted,
    OwnAddressSeen,
    PathAdded,
    PathDoubted,
    PathEvent,
    PathLost,
    PathSelected,
)
from p2p.proto.path.path import PairReport, Path, PathKind, PathStatus
from p2p.proto.path.policy import PathView, SelectionReason, choose, choose_second
from p2p.proto.path.reason import NatFacts, RelayReason, RelayReasonCode, plain_checks_can_succeed, why_relayed

__all__ = [
    "AllPathsLost",
    "ChecksExhausted",
    "NatFacts",
    "OwnAddressSeen",
    "PairReport",
    "Path",
    "PathAdded",
    "PathController",
    "PathDoubted",
    "PathEvent",
    "PathKind",
    "PathLost",
    "PathSelected",
    "PathStatus",
    "PathView",
    "RelayReason",
    "RelayReasonCode",
    "SelectionReason",
    "choose",
    "choose_second",
    "plain_checks_can_succeed",
    "why_relayed",
]
