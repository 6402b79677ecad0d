"""Checks that await an answer."""

from __future__ import annotations

from dataclasses import dataclass

from p2p import defaults
from p2p.address import TransportAddress
from p2p.proto.ice.pair import CandidatePair


@dataclass(frozen=True, slots=True)
class Attempt:
    """One Binding request on its way.

    Each attempt is a transaction of its own rather than a retransmission, so that its answer measures the
    round-trip time exactly and a late answer to an early attempt still counts.

    Attributes:
        pair: What it checks; None for a probe that many addresses get.
        base_id: The transport it was sent from.
        destination: Where it was sent; None for a probe.
        sent_at: When it was sent.
        password: The peer's at that time, with which the answer is made.
        controlling: The role it claimed.
        nominate: Whether it carried USE-CANDIDATE.
        size: The length that it was padded to, in bytes; 0 for none.
    """

    pair: CandidatePair | None
    base_id: int
    destination: TransportAddress | None
    sent_at: float
    password: str
    controlling: bool
    nominate: bool = False
    size: int = 0


class Transactions:
    """The attempts of one agent, oldest first, bounded in number and age."""

    def __init__(self) -> None:
        self._attempts: dict[bytes, Attempt] = {}

    def __len__(self) -> int:
        return len(self._attempts)

    def add(self, transaction_id: bytes, attempt: Attempt) -> None:
        """Remember an attempt; forget those that nobody will answer any more."""
        oldest_sent_at = attempt.sent_at - defaults.ICE_TRANSACTION_LIFETIME_S
        while self._attempts:
            oldest_id, oldest = next(iter(self._attempts.items()))
            if oldest.sent_at > oldest_sent_at and len(self._attempts) < defaults.ICE_MAX_TRANSACTIONS:
                break
            del self._attempts[oldest_id]
        self._attempts[transaction_id] = attempt

    def find(self, transaction_id: bytes) -> Attempt | None:
        """Return the attempt with this transaction id."""
        return self._attempts.get(transaction_id)

    def end(self, transaction_id: bytes) -> None:
        """Forget an attempt: it has its answer. A probe stays, for others may answer it too."""
        attempt = self._attempts.get(transaction_id)
        if attempt is not None and attempt.pair is not None:
            del self._attempts[transaction_id]
