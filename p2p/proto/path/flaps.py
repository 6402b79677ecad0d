"""Paths that come and go."""

from __future__ import annotations

from collections import deque

from p2p import defaults
from p2p.proto.ice import PairKey


class FlapMemory:
    """Remembers losses of paths, so that one that comes and goes is not switched to at each return."""

    def __init__(self) -> None:
        self._losses: dict[PairKey, deque[float]] = {}

    def lost(self, key: PairKey, now: float) -> None:
        """Note that a path died."""
        horizon_at = now - defaults.PATH_FLAP_WINDOW_S
        self._losses = {other: losses for other, losses in self._losses.items() if losses[-1] > horizon_at}
        losses = self._losses.setdefault(key, deque(maxlen=defaults.PATH_FLAP_REMEMBERED))
        while losses and losses[0] <= horizon_at:
            losses.popleft()
        losses.append(now)

    def held_until(self, key: PairKey, validated_at: float) -> float:
        """Return until when a path should not be used though it is valid again.

        Args:
            key: The path.
            validated_at: When it became valid.
        """
        losses = self._losses.get(key)
        if losses is None:
            return validated_at
        recent = sum(lost_at > validated_at - defaults.PATH_FLAP_WINDOW_S for lost_at in losses)
        if recent < 2:
            return validated_at
        hold_s = defaults.PATH_FLAP_HOLD_S * 2.0 ** (recent - 2)
        return validated_at + min(hold_s, defaults.PATH_FLAP_HOLD_MAX_S)
