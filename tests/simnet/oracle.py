"""What theory says about two NATs: worked out from the definitions of RFC 4787, by nothing that the product holds.

A NAT maps an inside endpoint to an outside one, anew for each destination, each destination address, or not at all
(section 4.1); it lets a packet in to an outside endpoint if something was sent from there to the packet's source, to
its address, or to anything (section 5). The two sides send to every endpoint that they know of until nobody learns
anything new. Then either side has an answer to a check of its own, or none ever comes.

Ports are names here, not numbers, so nobody hits one by luck: what guessing can add is said apart.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NamedTuple

from tests.simnet.nat import Allocator, Dependence, NatBehaviour

_ROUNDS = 5
"""After so many, what is still learned is new ports of ports, for ever."""


class Reach(Enum):
    """How two hosts come together."""

    DIRECT = auto()
    """Plain checks get through."""
    GUESSED = auto()
    """A port has to be guessed."""
    RELAYED = auto()
    """Nothing helps."""


class Reason(Enum):
    """Why there is no direct path, as the one side sees it who is named first."""

    BLOCKED_HERE = auto()
    BLOCKED_THERE = auto()
    BOTH_HARD = auto()
    POOL_HERE = auto()
    POOL_THERE = auto()
    FILTER_HERE = auto()
    FILTER_THERE = auto()


class Endpoint(NamedTuple):
    """An outside address and port, by names."""

    host: str
    port: str


_SERVER = Endpoint("server", "3478")


@dataclass
class _Side:
    """One host and the NAT in front of it: who was sent to, and from which outside endpoint."""

    name: str
    nat: NatBehaviour
    known: set[Endpoint] = field(default_factory=set)
    contacted: dict[Endpoint, set[Endpoint]] = field(default_factory=dict)
    is_answered: bool = False

    def outside(self, remote: Endpoint) -> Endpoint:
        """The endpoint that packets to a remote one leave from. Source: RFC 4787 section 4.1."""
        match self.nat.mapping:
            case Dependence.INDEPENDENT:
                key = ""
            case Dependence.ADDRESS:
                key = remote.host
            case _:
                key = f"{remote.host}:{remote.port}"
        host = f"{self.name}@{key}" if self.nat.pool > 1 else self.name
        return Endpoint(host, f"{self.name}>{key}")

    def send(self, remote: Endpoint) -> Endpoint:
        source = self.outside(remote)
        self.contacted.setdefault(source, set()).add(remote)
        return source

    def lets_in(self, source: Endpoint, destination: Endpoint) -> bool:
        """Whether a packet to an outside endpoint of ours reaches the host. Source: RFC 4787 section 5."""
        contacted = self.contacted.get(destination)
        if contacted is None:
            return False
        match self.nat.filtering:
            case Dependence.INDEPENDENT:
                return True
            case Dependence.ADDRESS:
                return any(remote.host == source.host for remote in contacted)
        return source in contacted


def reach(one: NatBehaviour | None, other: NatBehaviour | None) -> Reach:
    """How two hosts behind these NATs, each one of its own, come together; None is a public address."""
    if _is_blocked(one) or _is_blocked(other):
        return Reach.RELAYED
    if _all_answered(one, other, guesses=False):
        return Reach.DIRECT
    if _all_answered(one, other, guesses=True) or (_is_predictable(one) and _is_predictable(other)):
        return Reach.GUESSED
    return Reach.RELAYED


def reach_by_hairpin(nat: NatBehaviour) -> Reach:
    """The same for two hosts behind one NAT that keeps them apart inside. Source: RFC 4787 section 6.

    Both take their ports from one counter, so neither can foretell its own: no meeting.
    """
    return Reach.DIRECT if nat.hairpin and reach(nat, nat) is Reach.DIRECT else Reach.RELAYED


def reason(here: NatBehaviour | None, there: NatBehaviour | None) -> Reason:
    """Why two hosts that cannot come together cannot, as the first one sees it."""
    if _is_blocked(here):
        return Reason.BLOCKED_HERE
    if _is_blocked(there):
        return Reason.BLOCKED_THERE
    hard_here, hard_there = _is_hard(here), _is_hard(there)
    if hard_here and hard_there:
        return Reason.BOTH_HARD
    if hard_here:
        return Reason.POOL_HERE if here is not None and here.pool > 1 else Reason.FILTER_THERE
    return Reason.POOL_THERE if there is not None and there.pool > 1 else Reason.FILTER_HERE


def _is_blocked(nat: NatBehaviour | None) -> bool:
    return nat is not None and nat.udp_blocked


def _is_hard(nat: NatBehaviour | None) -> bool:
    """Whether nobody can be told the port beforehand."""
    return nat is not None and nat.mapping is not Dependence.INDEPENDENT


def _is_predictable(nat: NatBehaviour | None) -> bool:
    """Whether the next ports follow from the last one, so that two such sides can arrange for two of them to meet."""
    return nat is not None and nat.allocator is Allocator.SEQUENTIAL and nat.pool == 1


def _all_answered(one: NatBehaviour | None, other: NatBehaviour | None, *, guesses: bool) -> bool:
    sides = (_Side("a", one or NatBehaviour()), _Side("b", other or NatBehaviour()))
    for side, peer in (sides, sides[::-1]):
        # What a server saw, and the peer was told.
        peer.known.add(side.send(_SERVER))
    for _ in range(_ROUNDS):
        for side, peer in (sides, sides[::-1]):
            if guesses:
                _guess(side, peer)
            for remote in sorted(side.known):
                _check(side, peer, remote)
    return all(side.is_answered for side in sides)


def _guess(side: _Side, peer: _Side) -> None:
    """Try ports of the peer's known addresses: sure to hit every one sooner or later.

    Only for a side whose own port stays the same meanwhile: the peer's filter expects one source, so a side whose port
    changes with each try would have to be guessed at the same time.
    """
    if side.nat.mapping is Dependence.INDEPENDENT:
        hosts = {remote.host for remote in side.known}
        side.known |= {door for door in peer.contacted if door.host in hosts}


def _check(side: _Side, peer: _Side, remote: Endpoint) -> None:
    """Send a check to an endpoint; whoever gets it answers, and tries the source too."""
    source = side.send(remote)
    if not peer.lets_in(source, remote):
        return
    peer.known.add(source)
    answer_from = peer.send(source)
    if answer_from == remote and side.lets_in(answer_from, source):
        side.is_answered = True
