"""The book of our own candidates: which address belongs to which base."""

from __future__ import annotations

from collections.abc import Iterable

from p2p.address import TransportAddress
from p2p.path.base import SocketBase
from p2p.path.relay_base import RelayBase
from p2p.proto.ice.candidate import Candidate, CandidateType


class CandidateBook:
    """Our candidates, in the order in which they were found.

    The methods that add return what is new, to be told to the peers of running sessions.
    """

    def __init__(self) -> None:
        self._candidates: dict[tuple[int, TransportAddress], Candidate] = {}

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """All of them."""
        return tuple(self._candidates.values())

    def add_hosts(self, base: SocketBase, hosts: Iterable[str]) -> tuple[Candidate, ...]:
        """Note the addresses of this host at which a socket is reached.

        Args:
            base: The socket.
            hosts: IP addresses of either family; those of the other one are skipped.
        """
        local = base.local_address
        return self._add(
            Candidate.local(CandidateType.HOST, TransportAddress(host, local.port), base.base_id)
            for host in hosts
            if (":" in host) is local.is_ipv6
        )

    def add_reflexive(self, base_id: int, mapped: TransportAddress, server: TransportAddress) -> tuple[Candidate, ...]:
        """Note the address at which a server saw a socket; nothing is new when the socket itself has it."""
        host = next((candidate for (base, _), candidate in self._candidates.items() if base == base_id), None)
        return self._add(
            [
                Candidate.local(
                    CandidateType.SERVER_REFLEXIVE,
                    mapped,
                    base_id,
                    related=None if host is None else host.address,
                    server=server.host,
                )
            ]
        )

    def add_relay(self, relay: RelayBase) -> tuple[Candidate, ...]:
        """Note the address of an allocation."""
        return self._add(
            [
                Candidate.local(
                    CandidateType.RELAYED,
                    relay.local_address,
                    relay.base_id,
                    related=relay.mapped_address,
                    server=relay.server.host,
                    relay_protocol=relay.protocol,
                )
            ]
        )

    def remove_base(self, base_id: int) -> None:
        """Forget the candidates of a base that is gone."""
        self._candidates = {key: value for key, value in self._candidates.items() if key[0] != base_id}

    def _add(self, candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
        added = []
        for candidate in candidates:
            key = (candidate.base_id, candidate.address)
            if key not in self._candidates:
                self._candidates[key] = candidate
                added.append(candidate)
        return tuple(added)
