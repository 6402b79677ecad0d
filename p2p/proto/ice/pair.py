"""A local and a remote candidate that are tried together."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from p2p import defaults
from p2p.address import TransportAddress
from p2p.proto.ice.candidate import Candidate, CandidateType, RelayProtocol


class PairState(StrEnum):
    """Where the checks of a pair stand.

    Deviation: there is no Frozen state. It saves checks among many streams and components; here is one of each,
    and both sides must fire at every address early for their NATs to open at the same time.

    Source: RFC 8445 section 6.1.2.6.
    """

    WAITING = "waiting"
    IN_PROGRESS = "in-progress"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class PairFailure(StrEnum):
    """Why a pair failed."""

    NONE = ""
    UNANSWERED = "unanswered"
    ASYMMETRIC = "asymmetric-response"
    REJECTED = "rejected"
    LOST = "lost"


class PairKey(NamedTuple):
    """What makes a pair unique: the transport it is sent from and where to."""

    base_id: int
    remote: TransportAddress


@dataclass(slots=True)
class CheckSeries:
    """Attempts on one pair, until one is answered or the time is over.

    Attributes:
        ends_at: When the pair is given up.
        next_at: When the next attempt is due.
        sent: Attempts so far.
        nominate: Whether the attempts carry USE-CANDIDATE.
    """

    ends_at: float
    next_at: float
    sent: int = 0
    nominate: bool = False


@dataclass(slots=True, eq=False)
class CandidatePair:
    """A local and a remote candidate; the agent changes it, others read it.

    Attributes:
        local: The candidate of ours that is the base: a host or a relayed one.
        remote: The candidate of the peer.
        state: Where its checks stand.
        nominated: Whether the controlling side chose it.
        attempts: Checks sent so far, heartbeats not counted.
        rtt_s: Round-trip time of the last answered check.
        mapped_address: Our address as the peer saw it in the last answered check.
        failure: Why it failed, when it did.
        series: The attempts under way.
        duration_s: How long its next series of attempts lasts.
        nominate_when_valid: The peer nominated it before our own check was answered.
    """

    local: Candidate
    remote: Candidate
    state: PairState = PairState.WAITING
    nominated: bool = False
    attempts: int = 0
    rtt_s: float | None = None
    mapped_address: TransportAddress | None = None
    failure: PairFailure = PairFailure.NONE
    series: CheckSeries | None = None
    duration_s: float = defaults.ICE_CHECK_DURATION_S
    nominate_when_valid: bool = False

    @property
    def key(self) -> PairKey:
        """What makes the pair unique in its check list."""
        return PairKey(self.local.base_id, self.remote.address)

    @property
    def relayed(self) -> bool:
        """Whether packets pass a relay, ours or the peer's."""
        return self.local.via_relay or self.remote.via_relay

    @property
    def relay_protocol(self) -> RelayProtocol:
        """The slowest protocol spoken to a relay on this pair; UDP without a relay."""
        spoken = {side.relay_protocol for side in (self.local, self.remote) if side.type is CandidateType.RELAYED}
        for protocol in (RelayProtocol.TLS, RelayProtocol.TCP):
            if protocol in spoken:
                return protocol
        return RelayProtocol.UDP

    def priority(self, *, controlling: bool) -> int:
        """Compute the pair's priority, the same number on both sides.

        Args:
            controlling: Whether this agent controls.

        Source: RFC 8445 section 6.1.2.3.
        """
        ours, theirs = self.local.priority, self.remote.priority
        controller, controlled = (ours, theirs) if controlling else (theirs, ours)
        return (min(ours, theirs) << 32) + 2 * max(ours, theirs) + (controller > controlled)
