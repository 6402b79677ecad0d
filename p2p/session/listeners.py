"""What a node tells those who live on it."""

from __future__ import annotations

from typing import Protocol

from p2p.address import TransportAddress
from p2p.gather.candidates import CandidateChange
from p2p.proto.path.reason import NatFacts


class NodeListener(Protocol):
    """What each session on a node is told."""

    def candidates_changed(self, change: CandidateChange) -> None:
        """We are reached at more addresses, or no longer at some."""
        ...

    def network_changed(self, *, moved: bool) -> None:
        """What did not work may work now, and the other way round; above all if we are in another network."""
        ...

    def base_removed(self, base_id: int) -> None:
        """A base is gone, and its addresses with it."""
        ...

    def facts_changed(self, facts: NatFacts) -> None:
        """More is known of our NAT."""
        ...

    def gathered(self) -> None:
        """No more addresses and facts are expected for now."""
        ...


class PacketTaker(Protocol):
    """Who wants to know on which path a connection's packets arrive."""

    def packets_received(self, base_id: int, source: TransportAddress, size: int, now: float) -> None:
        """Note it, and how many bytes they are."""
        ...
