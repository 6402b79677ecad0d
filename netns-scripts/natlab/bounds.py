"""How good a pair has to be, in figures: the share of sessions that succeed, and the times that they may take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from .expectation import Path
from .kinds import Dependence, Kind
from .results import CellResult, percentiles

# A direct path that comes later than this counts as none.
_LATEST_S: Final = 15.0
# What two sides that cannot meet may send to each other's routers in a session: plain checks, no guesses.
_MOST_PEER_PACKETS: Final = 100
_RELAYED_FIRST_BYTE_S: Final = 0.2
_BLOCKED_FIRST_BYTE_S: Final = 0.4
_REASON_S: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What a pair's sessions may take at most. Times are from the start of signalling in the dialer, in seconds.

    Attributes:
        success: The least share of sessions that come to what they must come to.
        direct_s: The 95th percentile of the time until the path is direct.
        direct_p50_s: The median of it.
        latest_s: A direct path later than this is no success.
        first_byte_s: The 95th percentile of the time to the first byte.
        relay_s: The 95th percentile of the time to a path over the relay.
        reason_s: The 95th percentile of the time until the reason for the relay is said.
        peer_packets: UDP packets that both sides together send to other routers in a session.
    """

    success: float = 1.0
    direct_s: float | None = None
    direct_p50_s: float | None = None
    latest_s: float = _LATEST_S
    first_byte_s: float | None = None
    relay_s: float | None = None
    reason_s: float | None = None
    peer_packets: int | None = None

    def __str__(self) -> str:
        parts = [f"{'' if self.success == 1 else '>= '}{self.success:.0%}"]
        if self.direct_p50_s is not None:
            parts.append(f"within {self.latest_s:g} s, median <= {self.direct_p50_s:g} s")
        for name, bound in (
            ("direct", self.direct_s),
            ("first byte", self.first_byte_s),
            ("relay", self.relay_s),
            ("reason", self.reason_s),
        ):
            if bound is not None:
                parts.append(f"{name} <= {bound:g} s")
        if self.peer_packets is not None:
            parts.append(f"<= {self.peer_packets} packets to the other router")
        return ", ".join(parts)

    def successes(self, cell: CellResult) -> int:
        """How many sessions came to what they must come to, in time and with every byte right."""
        return sum(
            run.bytes_ok
            and not cell.complaint(run)
            and (run.path is not Path.DIRECT or (run.direct_s or 0.0) <= self.latest_s)
            for run in cell.runs
        )

    def misses(self, cell: CellResult) -> tuple[str, ...]:
        """Say what is out of bounds.

        Args:
            cell: What was found, at least one session.
        """
        found = []
        share = self.successes(cell) / len(cell.runs)
        if share < self.success:
            found.append(f"success {share:.0%}, not {self.success:.0%}")
        runs = cell.runs
        for name, rank, values, bound in (
            ("direct", "p50", [run.direct_s for run in runs], self.direct_p50_s),
            ("direct", "p95", [run.direct_s for run in runs], self.direct_s),
            ("first byte", "p95", [run.first_byte_s for run in runs], self.first_byte_s),
            ("relay", "p95", [run.relay_s for run in runs], self.relay_s),
            ("reason", "p95", [run.reason_s for run in runs], self.reason_s),
        ):
            measured = percentiles(values)[rank]
            if bound is not None and measured is not None and measured > bound:
                found.append(f"{name} {rank} {measured:.2f} s, not {bound:g} s")
        most = max((run.peer_packets for run in runs if run.peer_packets is not None), default=0)
        if self.peer_packets is not None and most > self.peer_packets:
            found.append(f"{most} packets to the other router, not {self.peer_packets}")
        return tuple(found)


NEAR: Final = Bounds(direct_s=0.2)
"""Two hosts that need nobody's help: IPv6, one LAN, one router that sends packets back in."""
FORWARDED: Final = Bounds(direct_s=0.6)
"""A router that forwards a port, whatever it and the other one do otherwise."""
BLOCKED: Final = Bounds(first_byte_s=_BLOCKED_FIRST_BYTE_S)
RELAYED: Final = Bounds(relay_s=_RELAYED_FIRST_BYTE_S, reason_s=_REASON_S, peer_packets=_MOST_PEER_PACKETS)


def bounds_of(dialer: Kind, exposer: Kind, expected: Path) -> Bounds:
    """Tell how good a pair has to be.

    Args:
        dialer: The dialer's kind.
        exposer: The exposer's kind.
        expected: Where it must end up.
    """
    if dialer.mapping is None or exposer.mapping is None:
        return BLOCKED
    if expected is Path.RELAY:
        return RELAYED
    hard = [kind for kind in (dialer, exposer) if kind.mapping is not Dependence.ENDPOINT_INDEPENDENT]
    if not hard:
        return Bounds(direct_s=0.35, first_byte_s=_RELAYED_FIRST_BYTE_S)
    if len(hard) == 2:
        return Bounds(success=0.95, direct_s=2.0)
    easy = exposer if hard[0] is dialer else dialer
    if easy.filtering is not Dependence.ADDRESS_AND_PORT_DEPENDENT:
        return Bounds(direct_s=0.5)
    if hard[0].step is not None:
        return Bounds(success=0.99, direct_s=1.0)
    return Bounds(success=0.98, direct_p50_s=4.0)
