"""What may be used once, and only while it is fresh: nonces that their maker has put the time into."""

from __future__ import annotations

from p2p.proto.signalling import early_login


class FreshNonces:
    """Remembers nonces for as long as they are fresh.

    Two generations are kept, each for as long as one is fresh. A server that has just started refuses what is older
    than itself, since it cannot know whether it took it before.

    Args:
        now_wall: When the server started, Unix seconds.
        skew_s: How far a maker's clock may be off ours.
        limit: How many nonces of one generation are remembered; then none is fresh.
    """

    def __init__(self, now_wall: float, *, skew_s: float, limit: int) -> None:
        self._started_wall = self._turned_wall = now_wall
        self._skew_s = skew_s
        self._limit = limit
        self._nonces: set[bytes] = set()
        self._earlier: set[bytes] = set()

    def is_fresh(self, nonce: bytes, now_wall: float) -> bool:
        """Tell whether a nonce may be used now.

        Args:
            nonce: From ``early_login.make_nonce``.
            now_wall: The present, Unix seconds.
        """
        made_wall = early_login.made_at_wall(nonce)
        if made_wall < self._started_wall or abs(now_wall - made_wall) > self._skew_s:
            return False
        self._turn(now_wall)
        return not self.was_used(nonce) and len(self._nonces) < self._limit

    def was_used(self, nonce: bytes) -> bool:
        """Tell whether a nonce has been used, as far as is remembered."""
        return nonce in self._nonces or nonce in self._earlier

    def use(self, nonce: bytes) -> None:
        """Remember that a fresh nonce has been used."""
        self._nonces.add(nonce)

    def _turn(self, now_wall: float) -> None:
        # A nonce may be as much in the future as in the past, so it is fresh for twice the skew.
        if not 0 <= now_wall - self._turned_wall < 2 * self._skew_s:
            self._turned_wall = now_wall
            self._earlier, self._nonces = self._nonces, set()
