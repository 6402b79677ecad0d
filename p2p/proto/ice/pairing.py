"""Which addresses of the two sides are tried together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from p2p import defaults
from p2p.address import TransportAddress
from p2p.proto.ice.candidate import Candidate, CandidateType
from p2p.proto.ice.counters import IceCounters
from p2p.proto.ice.events import IceEvent, PairReclassified, PairRemoved, PeerReflexiveDiscovered
from p2p.proto.ice.pair import CandidatePair, PairState
from p2p.proto.ice.remotes import RemoteCandidates
from p2p.proto.ice.scheduler import CheckScheduler

_BASE_TYPES: Final = (CandidateType.HOST, CandidateType.RELAYED)


class Pairing:
    """The candidates of both sides, and the pairs they make.

    Args:
        scheduler: Has the check list.
        relay_only: Whether pairs without a relay are not made.
        counters: Where a lack of room is counted.
        emit: Gets the events.

    Attributes:
        local: Our candidates, learned ones included.
        bases: For each local transport the candidate that stands for it in pairs.
        remotes: The peer's candidates.

    Source: RFC 8445 section 6.1.2.
    """

    def __init__(
        self, scheduler: CheckScheduler, *, relay_only: bool, counters: IceCounters, emit: Callable[[IceEvent], None]
    ) -> None:
        self.local: list[Candidate] = []
        self.bases: dict[int, Candidate] = {}
        self.remotes = RemoteCandidates()
        self._scheduler = scheduler
        self._pairs = scheduler.pairs
        self._relay_only = relay_only
        self._counters = counters
        self._emit = emit

    # --- Our side ------------------------------------------------------------------------------------------
    def add_local(self, candidate: Candidate) -> None:
        """Take a candidate of ours; its transport is paired once, whatever candidates it has."""
        if candidate in self.local:
            return
        self.local.append(candidate)
        base = self.bases.get(candidate.base_id)
        if base is None or base not in self.local:
            self._stand_for(candidate)
        elif base.type not in _BASE_TYPES and candidate.type in _BASE_TYPES:
            self.bases[candidate.base_id] = candidate

    def remove_local(self, candidate: Candidate) -> None:
        """Forget a candidate of ours, but not its transport: another one stands for that, now or when it comes."""
        if candidate not in self.local:
            return
        self.local.remove(candidate)
        if self.bases.get(candidate.base_id) == candidate:
            others = [other for other in self.local if other.base_id == candidate.base_id]
            if others:
                self._stand_for(min(others, key=lambda other: other.type not in _BASE_TYPES))

    def add_base(self, candidate: Candidate) -> None:
        """Take a transport from which nothing is tried before a check has arrived on it."""
        self.bases.setdefault(candidate.base_id, candidate)

    def remove_base(self, base_id: int) -> None:
        """Forget a transport, with its candidates and pairs."""
        self.bases.pop(base_id, None)
        self.local = [candidate for candidate in self.local if candidate.base_id != base_id]
        for pair in self._pairs:
            if pair.local.base_id == base_id:
                self.remove(pair)

    def _stand_for(self, candidate: Candidate) -> None:
        """Let a candidate stand for its transport in all pairs, and make those that are missing."""
        self.bases[candidate.base_id] = candidate
        for pair in self._pairs:
            if pair.local.base_id == candidate.base_id:
                pair.local = candidate
        for remote in self.remotes:
            self.add_pair(candidate, remote)

    def learn_local(self, base: Candidate, address: TransportAddress) -> None:
        """Note an address of ours that the peer sees, unless it is known. Source: RFC 8445 section 7.2.5.3.1."""
        if any(candidate.address == address for candidate in self.local):
            return
        learned = sum(candidate.type is CandidateType.PEER_REFLEXIVE for candidate in self.local)
        if learned >= defaults.ICE_MAX_LEARNED_CANDIDATES:
            self._counters.no_room += 1
            return
        candidate = Candidate.local(CandidateType.PEER_REFLEXIVE, address, base.base_id, related=base.address)
        self.local.append(candidate)
        self._emit(PeerReflexiveDiscovered(candidate, is_local=True))

    # --- The peer's side -----------------------------------------------------------------------------------
    def add_remote(self, candidate: Candidate) -> None:
        """Take a candidate of the peer from signalling; see ``RemoteCandidates.add_signalled``."""
        before = self.remotes.find(candidate.address)
        known = self.remotes.add_signalled(candidate)
        if known is None:
            self._counters.no_room += 1
            return
        if before is not None and known != before:
            self._reclassify(known)
        self.pair_with_all(known)

    def remove_remote(self, address: TransportAddress) -> None:
        """Forget an address of the peer, unless it is in a valid pair: that one must be seen to fail."""
        if address not in self.proven():
            self.remotes.remove(address)
            self._remove_pairs_to(address)

    def remote_for(self, source: TransportAddress, priority: int) -> Candidate:
        """Return what is known of the source of a check, learning it when nothing is."""
        known = self.remotes.find(source)
        if known is not None:
            return known
        candidate, evicted = self.remotes.learn(source, priority, self.proven())
        if evicted is not None:
            self._counters.no_room += 1
            self._remove_pairs_to(evicted)
        self._emit(PeerReflexiveDiscovered(candidate, is_local=False))
        return candidate

    # --- Pairs ---------------------------------------------------------------------------------------------
    def pair_for(self, base: Candidate, remote: Candidate) -> CandidatePair | None:
        """Return the pair on which a check arrived, making it when it is new.

        Returns:
            None when there is no room, or the pair is not allowed.
        """
        pair = self._pairs.find(base.base_id, remote.address)
        if pair is not None:
            return pair
        pair = self.add_pair(base, remote)
        if base.via_relay and not remote.via_relay:
            # What the peer's NAT shows our relay it may show us too: after its reboot that is the quickest news.
            self.pair_with_all(remote)
        return pair

    def add_pair(self, base: Candidate, remote: Candidate) -> CandidatePair | None:
        """Make a pair, unless there is one, it cannot work, is not allowed, or finds no room."""
        if base.address.is_ipv6 != remote.address.is_ipv6 or self._pairs.find(base.base_id, remote.address):
            return None
        pair = CandidatePair(base, remote)
        if self._relay_only and not pair.relayed:
            return None
        added, evicted = self._pairs.add(pair, controlling=self._scheduler.controlling)
        if evicted is not None:
            self.remove(evicted)
        if not added:
            self._counters.no_room += 1
            return None
        return pair

    def pair_with_all(self, remote: Candidate) -> None:
        """Pair an address of the peer with every transport of ours that was named as a candidate."""
        for base in self.bases.values():
            if base in self.local:
                self.add_pair(base, remote)

    def remove(self, pair: CandidatePair) -> None:
        """Take a pair out of the check list."""
        self._scheduler.remove(pair)
        self._emit(PairRemoved(pair))

    def proven(self) -> set[TransportAddress]:
        """Return the peer's addresses in valid pairs."""
        return {pair.remote.address for pair in self._pairs if pair.state is PairState.SUCCEEDED}

    def _reclassify(self, remote: Candidate) -> None:
        """Let the pairs of a learned address know what signalling says of it."""
        for pair in self._pairs:
            if pair.remote.address == remote.address and pair.remote != remote:
                pair.remote = remote
                self._emit(PairReclassified(pair))

    def _remove_pairs_to(self, address: TransportAddress) -> None:
        for pair in self._pairs:
            if pair.remote.address == address and pair.state is not PairState.SUCCEEDED:
                self.remove(pair)
