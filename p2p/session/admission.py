"""How many offers an exposer takes, and from whom: what holders of tickets, and strangers, can make it do."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Protocol

from p2p.defaults import (
    REPLIES_BURST,
    REPLIES_PER_S,
    SEALED_MAX_SKEW_S,
    SEALED_REMEMBERED,
    SESSIONS_MAX,
    SESSIONS_OPENING_MAX,
    SESSIONS_OPENING_PER_PEER,
    SESSIONS_PER_PEER,
)
from p2p.errors import IntegrityError
from p2p.identity import PeerId
from p2p.proto.token_bucket import TokenBucket
from p2p.proto.tunnel.codes import RefusalCode
from p2p.session.access import AccessRefusedError


class Occupant(Protocol):
    """A session, as far as counting goes."""

    peer: PeerId
    is_established: bool


class OfferAdmission:
    """Bounds sessions in all and for each peer, takes each offer once, bounds answers to those who have no session."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, float] = OrderedDict()
        self._replies = TokenBucket(REPLIES_PER_S, REPLIES_BURST)

    def check(self, session_id: str, peer: PeerId, sessions: Iterable[Occupant], *, now: float) -> None:
        """Take an offer that has proven its ticket.

        The replay guard of signals has a limit that strangers can exhaust; here only holders of tickets take room.

        Args:
            session_id: The dialer's choice, and none of a session that exists.
            peer: The dialer.
            sessions: All there are.
            now: The monotonic time.

        Raises:
            AccessRefusedError: There are too many sessions, in all or of this peer.
            IntegrityError: There was a session of this id: somebody repeats an old offer.
        """
        self._forget(now)
        if session_id in self._seen:
            raise IntegrityError(f"the offer of session {session_id[:8]} was taken before")
        total = opening = own = own_opening = 0
        for session in sessions:
            is_own = session.peer == peer
            is_opening = not session.is_established
            total += 1
            opening += is_opening
            own += is_own
            own_opening += is_own and is_opening
        if total >= SESSIONS_MAX or opening >= SESSIONS_OPENING_MAX:
            raise AccessRefusedError(RefusalCode.OVERLOADED, "too many sessions")
        if own >= SESSIONS_PER_PEER or own_opening >= SESSIONS_OPENING_PER_PEER:
            raise AccessRefusedError(RefusalCode.OVERLOADED, "too many sessions of one peer")
        self._seen[session_id] = now

    def may_reply(self, now: float) -> bool:
        """Tell whether somebody without a session may be answered."""
        return self._replies.take(now)

    def _forget(self, now: float) -> None:
        """Drop what the age of its signal would refuse."""
        while self._seen and (
            len(self._seen) >= SEALED_REMEMBERED or next(iter(self._seen.values())) < now - 2 * SEALED_MAX_SKEW_S
        ):
            self._seen.popitem(last=False)
