"""Candidates, pairs and connectivity checks (RFC 8445, 8838)."""

from __future__ import annotations

from p2p.proto.ice.agent import IceAgent
from p2p.proto.ice.candidate import REMOTE_BASE_ID, Candidate, CandidateType, RelayProtocol, candidate_priority
from p2p.proto.ice.counters import IceCounters
from p2p.proto.ice.credentials import Credentials
from p2p.proto.ice.events import (
    CheckListCompleted,
    IceEvent,
    PairChecked,
    PairConfirmed,
    PairFailed,
    PairNominated,
    PairReclassified,
    PairRemoved,
    PairValidated,
    PeerReflexiveDiscovered,
    RoleChanged,
    Transmit,
)
from p2p.proto.ice.messages import receiver_fragment_untrusted
from p2p.proto.ice.pair import CandidatePair, PairFailure, PairKey, PairState

__all__ = [
    "REMOTE_BASE_ID",
    "Candidate",
    "CandidatePair",
    "CandidateType",
    "CheckListCompleted",
    "Credentials",
    "IceAgent",
    "IceCounters",
    "IceEvent",
    "PairChecked",
    "PairConfirmed",
    "PairFailed",
    "PairFailure",
    "PairKey",
    "PairNominated",
    "PairReclassified",
    "PairRemoved",
    "PairState",
    "PairValidated",
    "PeerReflexiveDiscovered",
    "RelayProtocol",
    "RoleChanged",
    "Transmit",
    "candidate_priority",
    "receiver_fragment_untrusted",
]
