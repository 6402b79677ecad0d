"""What a path controller tells its owner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from p2p.address import TransportAddress
from p2p.proto.path.path import PairReport, Path
from p2p.proto.path.policy import SelectionReason


@dataclass(frozen=True, slots=True)
class PathAdded:
    """A check of ours was answered: the path can carry data."""

    path: Path
    rtt_s: float


@dataclass(frozen=True, slots=True)
class PathSelected:
    """Data goes out on another path from now on; ``sending_paths`` has changed already.

    Attributes:
        path: The new one.
        previous: The one before, None for the first.
        reason: Why.
        rtt_s: Round-trip time of the new one, None for an optimistic path.
    """

    path: Path
    previous: Path | None
    reason: SelectionReason
    rtt_s: float | None


@dataclass(frozen=True, slots=True)
class PathSized:
    """Packets on the selected path may be longer from now on, or must be shorter.

    Attributes:
        path: The selected path.
        packet_bytes: The longest packet that it has proven to carry, or that every path must.
    """

    path: Path
    packet_bytes: int


@dataclass(frozen=True, slots=True)
class PathDoubted:
    """The selected path may be dead: data goes out on a second one too, if there is one.

    The earliest hint that a NAT has restarted or the network changed: a good moment to ask a STUN server for
    our address and the relay whether the allocation lives. Comes once for each doubt, which loss may cause too.
    """

    path: Path


@dataclass(frozen=True, slots=True)
class PathLost:
    """A path died, or its transport was closed; it is tried again by itself while its transport lives."""

    path: Path


@dataclass(frozen=True, slots=True)
class AllPathsLost:
    """No validated path is left; data goes out on the last one in the hope that it comes back."""


@dataclass(frozen=True, slots=True)
class ChecksExhausted:
    """The checks are over, or known to be hopeless, and no direct path has come of them; not final.

    Attributes:
        report: What became of each pair.
    """

    report: tuple[PairReport, ...]


@dataclass(frozen=True, slots=True)
class OwnAddressSeen:
    """The peer sees us at an address that we did not know: perhaps our router has got another one."""

    address: TransportAddress


PathEvent: TypeAlias = (
    PathAdded | PathSelected | PathSized | PathDoubted | PathLost | AllPathsLost | ChecksExhausted | OwnAddressSeen
)
