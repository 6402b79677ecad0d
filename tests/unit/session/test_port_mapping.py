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
    def __init__(self, any_host: str = "0.0.0.0") -> None:
        socket: Any = SimpleNamespace(base_id=BASE, local_address=TransportAddress(any_host, 5000))
        self.book = CandidateBook()
        self.changes: list[CandidateChange] = []
        endpoint = cast("Endpoint", SimpleNamespace(sockets=[socket]))
        is_ipv6 = ":" in any_host
        self.socket = socket
        self.port: Any = MappedPort(endpoint, self.book, on_change=self.changes.append, is_ipv6=is_ipv6)

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


def pinhole(internal: str, external: str) -> PortMapping:
    return PortMapping(MappingProtocol.PCP, TransportAddress(internal, 5000), TransportAddress(external, 5000), 3600)


def test_a_pinhole_is_where_we_are_known_to_be() -> None:
    world = World("::")
    world.book.set_hosts(world.socket, ["2606:4700::7"])
    world.port._mapped(pinhole("2606:4700::7", "2606:4700::7"))
    (own,) = world.book.candidates
    assert (own.type, own.address.host) == (CandidateType.HOST, "2606:4700::7")
    world.port._lost()
    assert world.book.candidates == (own,), "the address is ours without a pinhole too"


def test_a_pinhole_at_an_address_that_was_not_listed_is_a_candidate() -> None:
    world = World("::")
    world.book.set_hosts(world.socket, ["2606:4700::7"])
    world.port._mapped(pinhole("2606:4700::8", "2606:4700::8"))
    assert [own.address.host for own in world.book.candidates] == ["2606:4700::7", "2606:4700::8"]
    world.port._lost()
    assert [own.address.host for own in world.book.candidates] == ["2606:4700::7"]


def test_ipv6_that_is_translated_needs_a_witness() -> None:
    world = World("::")
    world.port._mapped(pinhole("fd00::7", "2606:4700::7"))
    assert world.announced == []
    world.book.set_mapped(BASE, TransportAddress("2606:4700::7", 61_000), TransportAddress("2606:4700::1", 3478))
    world.port.seen_outside()
    assert TransportAddress("2606:4700::7", 5000) in world.announced
