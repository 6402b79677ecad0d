"""How much may be in flight after a change of path."""

from __future__ import annotations

from typing import Any

from p2p.defaults import QUIC_PATH_CHANGE_FLIGHT_BYTES, QUIC_PATH_CHANGE_PACKETS


class FlightCap:
    """A slow start of our own after a change of path: the core has no way to reset its congestion window.

    Doubles each round trip without loss, shrinks with losses, and ends when the core's own window is the smaller one.
    """

    __slots__ = ("_lost", "_next_at", "_not_before", "bytes")

    def __init__(self, now: float, lost: int) -> None:
        self.bytes = QUIC_PATH_CHANGE_FLIGHT_BYTES
        self._lost = lost
        # The first round trip's losses are those of the old path.
        self._next_at = now + 0.1
        self._not_before = now + 1.0

    def is_over(self, core: Any, now: float) -> bool:
        """Adapt to what happened since the last call; True when the core can be left alone."""
        if now < self._next_at:
            return False
        lost = core.loss_total - self._lost
        self._lost = core.loss_total
        self._next_at = now + (core.latest_rtt or 0.1)
        if not lost:
            self.bytes *= 2
        elif lost > QUIC_PATH_CHANGE_PACKETS:
            self.bytes = max(self.bytes * 7 // 10, QUIC_PATH_CHANGE_FLIGHT_BYTES // 2)
        return now > self._not_before and core.congestion_window <= self.bytes
