"""What is known of the peer's addresses."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from p2p import defaults
from p2p.address import TransportAddress
from p2p.proto.ice.candidate import REMOTE_BASE_ID, Candidate, CandidateType


@dataclass(slots=True)
class _Known:
    candidate: Candidate
    learned: bool


class RemoteCandidates:
    """The peer's candidates by address: signalled ones, and learned ones which nobody vouches for."""

    def __init__(self) -> None:
        self._known: dict[TransportAddress, _Known] = {}

    def __len__(self) -> int:
        return len(self._known)

    def __iter__(self) -> Iterator[Candidate]:
        return iter([known.candidate for known in self._known.values()])

    def find(self, address: TransportAddress) -> Candidate | None:
        """Return what is known of an address."""
        known = self._known.get(address)
        return None if known is None else known.candidate

    def add_signalled(self, candidate: Candidate) -> Candidate | None:
        """Take a candidate from signalling.

        Args:
            candidate: From the peer's offer, answer or trickle.

        Returns:
            What the address is now known as, or None when there are too many already.
        """
        known = self._known.get(candidate.address)
        if known is None:
            if sum(not other.learned for other in self._known.values()) >= defaults.ICE_MAX_REMOTE_CANDIDATES:
                return None
            self._known[candidate.address] = _Known(candidate, learned=False)
            return candidate
        # One address under two types: the first signalled one stays, unless the other says that it is a relay's.
        if known.learned or (candidate.via_relay and not known.candidate.via_relay):
            known.candidate = known.candidate.upgraded(candidate)
        known.learned = False
        return known.candidate

    def remove(self, address: TransportAddress) -> None:
        """Forget an address; an unknown one is ignored."""
        self._known.pop(address, None)

    def learn(
        self, address: TransportAddress, priority: int, proven: Collection[TransportAddress]
    ) -> tuple[Candidate, TransportAddress | None]:
        """Take an address that a check came from.

        Args:
            address: Its source, not known so far.
            priority: Its PRIORITY.
            proven: Addresses of valid pairs, which never make room.

        Returns:
            The new candidate, and the address that made room for it.

        Source: RFC 8445 section 7.3.1.3.
        """
        foundation = f"p{zlib.crc32(str(address).encode()):08x}"
        candidate = Candidate(CandidateType.PEER_REFLEXIVE, address, REMOTE_BASE_ID, None, priority, foundation)
        learned = [other for other, known in self._known.items() if known.learned]
        evicted = None
        if len(learned) >= defaults.ICE_MAX_LEARNED_CANDIDATES:
            evicted = next((other for other in learned if other not in proven), learned[0])
            del self._known[evicted]
        self._known[address] = _Known(candidate, learned=True)
        return candidate, evicted
