"""Paths: ways to the peer that carry its traffic."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from p2p.address import TransportAddress
from p2p.proto.ice import CandidatePair, CandidateType, PairKey, RelayProtocol


class PathKind(StrEnum):
    """Whether a relay is in the way."""

    DIRECT = "direct"
    RELAY = "relay"


@dataclass(frozen=True, slots=True)
class Path:
    """A way to the peer: from a local transport to an address. Two with the same key are the same way.

    Attributes:
        base_id: The local transport to send from.
        remote: Where to send to.
        kind: Whether a relay, ours or the peer's, is in the way.
        relay_protocol: The slowest protocol that a peer speaks to its relay on the way; UDP on a direct path.
        validated: Whether a check of ours was answered on it; False for an optimistic path only.
    """

    base_id: int
    remote: TransportAddress
    kind: PathKind
    relay_protocol: RelayProtocol = RelayProtocol.UDP
    validated: bool = True

    @classmethod
    def of(cls, pair: CandidatePair) -> Path:
        """Make the path of a valid pair."""
        kind = PathKind.RELAY if pair.relayed else PathKind.DIRECT
        return cls(pair.local.base_id, pair.remote.address, kind, pair.relay_protocol)

    @property
    def key(self) -> PairKey:
        """What names the path, whatever is known about it."""
        return PairKey(self.base_id, self.remote)

    @property
    def is_direct(self) -> bool:
        """Whether no relay is in the way."""
        return self.kind is PathKind.DIRECT


@dataclass(frozen=True, slots=True)
class PathStatus:
    """How a validated path is doing.

    Attributes:
        path: Which one.
        rtt_s: Smoothed round-trip time.
        min_rtt_s: The least seen.
        doubtful: Whether it may be dead.
        in_use: Whether it is among the sending paths.
        heard_at: When anything authentic last came in on it.
        packet_bytes: The longest packet that it has proven to carry, or that every path must.
    """

    path: Path
    rtt_s: float
    min_rtt_s: float
    doubtful: bool
    in_use: bool
    heard_at: float
    packet_bytes: int


@dataclass(frozen=True, slots=True)
class PairReport:
    """What became of one pair: the answer to "why not this way?".

    Attributes:
        local: Our address, as the peer sees it when it does.
        local_type: How our address came to be known.
        remote: The peer's address.
        remote_type: How the peer's address came to be known.
        relayed: Whether a relay is in the way.
        state: ``waiting``, ``in-progress``, ``succeeded`` or ``failed``.
        reason: Empty, or ``unanswered``, ``asymmetric-response``, ``rejected``, ``lost``.
        attempts: Checks sent.
        rtt_s: Round-trip time of the last answer, None when there was none.
        nominated: Whether the controlling side chose it.
        selected: Whether we send on it.
    """

    local: TransportAddress
    local_type: CandidateType
    remote: TransportAddress
    remote_type: CandidateType
    relayed: bool
    state: str
    reason: str
    attempts: int
    rtt_s: float | None
    nominated: bool
    selected: bool

    @classmethod
    def of(cls, pair: CandidatePair, *, selected: bool) -> PairReport:
        """Report on a pair."""
        return cls(
            local=pair.mapped_address or pair.local.address,
            local_type=pair.local.type,
            remote=pair.remote.address,
            remote_type=pair.remote.type,
            relayed=pair.relayed,
            state=pair.state.value,
            reason=pair.failure.value,
            attempts=pair.attempts,
            rtt_s=pair.rtt_s,
            nominated=pair.nominated,
            selected=selected,
        )

    def __str__(self) -> str:
        how = "relay" if self.relayed else "direct"
        rtt = "" if self.rtt_s is None else f", {self.rtt_s * 1000:.1f} ms"
        return (
            f"{how} {self.local} ({self.local_type}) -> {self.remote} ({self.remote_type}): "
            f"{self.reason or self.state} after {self.attempts} checks{rtt}"
        )


def report_pairs(pairs: Iterable[CandidatePair], *, controlling: bool, selected: Path | None) -> tuple[PairReport, ...]:
    """Report on pairs, best first.

    Args:
        pairs: Of one check list.
        controlling: Whether we control, which decides about priorities.
        selected: The path that packets take.
    """
    key = None if selected is None else selected.key
    ordered = sorted(pairs, key=lambda pair: pair.priority(controlling=controlling), reverse=True)
    return tuple(PairReport.of(pair, selected=pair.key == key) for pair in ordered)
