"""The book of our own candidates: which address belongs to which base."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from p2p.address import TransportAddress
from p2p.path.base import SocketBase
from p2p.path.relay_base import RelayBase
from p2p.proto.ice.candidate import Candidate, CandidateType


@dataclass(frozen=True, slots=True)
class CandidateChange:
    """What has become of our candidates.

    Attributes:
        added: New ones.
        removed: Those at which we are no longer reached.
    """

    added: tuple[Candidate, ...] = ()
    removed: tuple[Candidate, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.removed)

    @property
    def news(self) -> CandidateChange:
        """What a peer must be told: nothing of an address that another base has now, as after a relay's restart."""
        kept = {own.address for own in self.added} & {own.address for own in self.removed}
        return CandidateChange(
            tuple(own for own in self.added if own.address not in kept),
            tuple(own for own in self.removed if own.address not in kept),
        )


class CandidateBook:
    """Our candidates, in the order in which they were found.

    The methods that change it return what is new and what is gone, to be told to the peers of running sessions.
    """

    def __init__(self) -> None:
        self._candidates: dict[tuple[int, TransportAddress], Candidate] = {}
        self._mapped: dict[tuple[int, TransportAddress], TransportAddress] = {}
        """What each server last said of each socket."""
        self._doubted: set[tuple[int, TransportAddress]] = set()

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """All of them."""
        return tuple(self._candidates.values())

    def set_hosts(self, base: SocketBase, hosts: Iterable[str]) -> CandidateChange:
        """Note the addresses of this host at which a socket is reached; those of before that are not named are gone.

        Args:
            base: The socket.
            hosts: IP addresses of either family; those of the other one are skipped.
        """
        local = base.local_address
        named = [
            Candidate.local(CandidateType.HOST, TransportAddress(host, local.port), base.base_id)
            for host in hosts
            if (":" in host) is local.is_ipv6
        ]
        addresses = {candidate.address for candidate in named}
        gone = [
            candidate
            for candidate in self._candidates.values()
            if candidate.base_id == base.base_id
            and candidate.type is CandidateType.HOST
            and candidate.address not in addresses
        ]
        if not named:
            # Where there is no way out, there is no way in.
            gone = [candidate for candidate in self._candidates.values() if candidate.base_id == base.base_id]
            self._mapped = {key: mapped for key, mapped in self._mapped.items() if key[0] != base.base_id}
        return CandidateChange(self._add(named), self._remove(gone))

    def set_mapped(self, base_id: int, mapped: TransportAddress, server: TransportAddress) -> CandidateChange:
        """Note the address at which a server sees a socket.

        Nothing is new when the socket itself has it. What the same server said before is gone, unless another one
        still says so.
        """
        before = self._mapped.get((base_id, server))
        self._mapped[base_id, server] = mapped
        self._doubted.discard((base_id, server))
        host = next((candidate for (base, _), candidate in self._candidates.items() if base == base_id), None)
        added = self._add(
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
        return CandidateChange(added, () if before is None else self._withdraw([(base_id, before)]))

    def mapped_address(self, base_id: int, server: TransportAddress) -> TransportAddress | None:
        """Where a server last saw a socket, unless that was in another network."""
        key = base_id, server
        return None if key in self._doubted else self._mapped.get(key)

    def mapped_hosts(self, base_id: int, *, but: TransportAddress) -> set[str]:
        """The IP addresses at which servers see a socket.

        Args:
            base_id: The socket.
            but: Whose word does not count.
        """
        return {
            mapped.host
            for (base, server), mapped in self._mapped.items()
            if base == base_id and server != but and (base, server) not in self._doubted
        }

    def forget_mapped(self, base_id: int, server: TransportAddress) -> CandidateChange:
        """Forget what a server said of a socket: it holds no longer."""
        mapped = self._mapped.pop((base_id, server), None)
        self._doubted.discard((base_id, server))
        return CandidateChange(removed=() if mapped is None else self._withdraw([(base_id, mapped)]))

    def doubt_mapped(self) -> None:
        """We are in another network: what servers said holds no longer, until they say it again."""
        self._doubted = set(self._mapped)

    def drop_doubted(self) -> CandidateChange:
        """Forget what servers said and have not said again."""
        dropped = [
            (base_id, self._mapped.pop((base_id, server))) for base_id, server in self._doubted & set(self._mapped)
        ]
        self._doubted.clear()
        return CandidateChange(removed=self._withdraw(dropped))

    def add_relay(self, relay: RelayBase) -> CandidateChange:
        """Note the address of an allocation."""
        return CandidateChange(
            self._add(
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
        )

    def remove_base(self, base_id: int) -> CandidateChange:
        """Forget the candidates of a base that is gone."""
        return CandidateChange(removed=self._remove([own for own in self.candidates if own.base_id == base_id]))

    def _add(self, candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
        added = []
        for candidate in candidates:
            key = (candidate.base_id, candidate.address)
            if key not in self._candidates:
                self._candidates[key] = candidate
                added.append(candidate)
        return tuple(added)

    def _withdraw(self, said: Iterable[tuple[int, TransportAddress]]) -> tuple[Candidate, ...]:
        """Forget reflexive addresses, each of a socket, that no server's last word names any more."""
        still_said = {(base_id, mapped) for (base_id, _), mapped in self._mapped.items()}
        gone = [self._candidates.get(key) for key in dict.fromkeys(said) if key not in still_said]
        return self._remove(own for own in gone if own is not None and own.type is CandidateType.SERVER_REFLEXIVE)

    def _remove(self, candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
        removed = tuple(candidates)
        for candidate in removed:
            del self._candidates[candidate.base_id, candidate.address]
        return removed
