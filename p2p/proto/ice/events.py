"""What an ICE agent tells its owner, and what it wants sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from p2p.address import TransportAddress
from p2p.proto.ice.candidate import Candidate
from p2p.proto.ice.pair import CandidatePair, PairFailure


class Transmit(NamedTuple):
    """Bytes to be sent from a local transport."""

    base_id: int
    destination: TransportAddress
    data: bytes


@dataclass(frozen=True, slots=True)
class PairValidated:
    """A check was answered on a pair that had not been valid: packets pass both ways."""

    pair: CandidatePair
    rtt_s: float


@dataclass(frozen=True, slots=True)
class PairConfirmed:
    """A check was answered on a pair that was valid already.

    ``size`` is the length that the check was padded to, in bytes; 0 for none.
    """

    pair: CandidatePair
    rtt_s: float
    size: int = 0


@dataclass(frozen=True, slots=True)
class PairChecked:
    """The peer's own check arrived on a pair and was answered: packets pass towards us."""

    pair: CandidatePair


@dataclass(frozen=True, slots=True)
class PairNominated:
    """The controlling side chose a pair, and our own check of it was answered."""

    pair: CandidatePair


@dataclass(frozen=True, slots=True)
class PairFailed:
    """A pair was given up, for now."""

    pair: CandidatePair
    failure: PairFailure


@dataclass(frozen=True, slots=True)
class PairRemoved:
    """A pair left the check list: its transport is closed, or a better pair needed the room."""

    pair: CandidatePair


@dataclass(frozen=True, slots=True)
class PairReclassified:
    """Signalling told more about the pair's remote address: type, priority, whether it is a relay's."""

    pair: CandidatePair


@dataclass(frozen=True, slots=True)
class PeerReflexiveDiscovered:
    """A check showed an address that nobody had signalled: ours (``is_local``) or the peer's."""

    candidate: Candidate
    is_local: bool


@dataclass(frozen=True, slots=True)
class RoleChanged:
    """A role conflict was resolved against us."""

    controlling: bool


@dataclass(frozen=True, slots=True)
class CheckListCompleted:
    """Every pair has been tried, and no more candidates are expected."""

    validated: int


IceEvent: TypeAlias = (
    PairValidated
    | PairConfirmed
    | PairChecked
    | PairNominated
    | PairFailed
    | PairRemoved
    | PairReclassified
    | PeerReflexiveDiscovered
    | RoleChanged
    | CheckListCompleted
)
