"""When the address that a router forwards from is told to peers, and when not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from p2p.address import TransportAddress
from p2p.gather.candidates import CandidateBook, CandidateChange
from p2p.path.endpoint import Endpoint
from p2p.proto.ice.candidate import CandidateType
from p2p.proto.portmap.mapping import MappingProtocol, PortMapping
from p2p.session.port_mapping import MappedPort

BASE = 1
INTERNAL = TransportAddress("10.0.0.7", 5000)
SEEN = TransportAddress("8.8.8.8", 61_000)
STUN = TransportAddress("9.9.9.9", 3478)


def forwarded(host: str, port: int = 5000) -> PortMapping:
    return PortMapping(MappingProtocol.PCP, INTERNAL, TransportAddress(host, port), 3600)


class World:
    def __init__(self) -> None:
        socket = SimpleNamespace(base_id=BASE, local_address=TransportAddress("0.0.0.0", 5000))
        self.book = CandidateBook()
        self.changes: list[CandidateChange] = []
        endpoint = cast("Endpoint", SimpleNamespace(sockets=[socket]))
        self.port: Any = MappedPort(endpoint, self.book, on_change=self.changes.append)

    def seen(self) -> None:
        self.book.set_mapped(BASE, SEEN, STUN)
        self.port.seen_outside()

    @property
    def announced(self) -> list[TransportAddress]:
        return [own.address for own in self.book.candidates if own.address != SEEN]


@pytest.mark.parametrize("seen_first", [True, False])
def test_an_address_that_servers_confirm_is_a_candidate_of_the_socket(seen_first: bool) -> None:
    world = World()
    if seen_first:
        world.seen()
    world.port._mapped(forwarded("8.8.8.8"))
    if not seen_first:
        assert world.announced == []
        world.seen()
    assert world.announced == [TransportAddress("8.8.8.8", 5000)]
    (added,) = world.changes[-1].added
    assert (added.type, added.base_id) == (CandidateType.SERVER_REFLEXIVE, BASE)


@pytest.mark.parametrize("host", ["10.1.2.3", "100.64.0.9", "192.168.0.2", "1.1.1.1", "224.0.0.5"])
def test_a_private_address_or_one_of_somebody_else_is_not(host: str) -> None:
    world = World()
    world.port._mapped(forwarded(host))
    world.seen()
    assert world.announced == []


def test_a_router_does_not_confirm_itself() -> None:
    world = World()
    world.seen()
    world.port._mapped(forwarded("8.8.8.8"))
    world.port._mapped(forwarded("1.1.1.1"))
    world.port.seen_outside()
    assert world.announced == []


def test_what_is_lost_is_withdrawn() -> None:
    world = World()
    world.seen()
    world.port._mapped(forwarded("8.8.8.8"))
    world.port._lost()
    assert world.announced == []
    assert [own.address for own in world.changes[-1].removed] == [TransportAddress("8.8.8.8", 5000)]


def test_what_servers_see_at_the_same_address_stays() -> None:
    world = World()
    world.seen()
    world.port._mapped(forwarded("8.8.8.8", SEEN.port))
    world.port._lost()
    assert [own.address for own in world.book.candidates] == [SEEN]
