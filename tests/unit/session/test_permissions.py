"""The permissions of a session at our relay: few, moved to a new relay, and given back."""

from __future__ import annotations

from collections import Counter
from typing import cast

import pytest

from p2p.address import TransportAddress
from p2p.path.relay_base import RelayBase
from p2p.proto.ice import Candidate, CandidateType
from p2p.session.permissions import PeerPermissions


class FakeRelay:
    """Counts what is asked for."""

    def __init__(self) -> None:
        self.local_address = TransportAddress("198.51.100.1", 50_000)
        self.held: Counter[TransportAddress] = Counter()

    def permit(self, peer: TransportAddress) -> None:
        self.held[peer] += 1

    def forbid(self, peer: TransportAddress) -> None:
        assert self.held[peer] > 0
        self.held[peer] -= 1

    @property
    def base(self) -> RelayBase:
        return cast("RelayBase", self)


def candidate(host: str, kind: CandidateType = CandidateType.SERVER_REFLEXIVE, port: int = 9) -> Candidate:
    return Candidate.local(kind, TransportAddress(host, port), 0)


def add(permissions: PeerPermissions, candidate: Candidate, relay: RelayBase | None) -> None:
    permissions.add(candidate.address, relay, is_host=candidate.type is CandidateType.HOST)


def test_who_was_seen_and_who_comes_by_our_relay_are_let_in_before_any_candidate() -> None:
    relay, permissions = FakeRelay(), PeerPermissions(16)
    permissions.add_seen("203.0.113.7", relay.base, ("10.0.0.1",))
    assert {address.host for address in relay.held} == {"203.0.113.7", "198.51.100.1"}


@pytest.mark.parametrize("seen", ["", "nonsense", "127.0.0.1", "203.0.113.7:5", "0.0.0.0"])
def test_nobody_is_let_in_for_being_seen_nowhere(seen: str) -> None:
    relay, permissions = FakeRelay(), PeerPermissions(16)
    permissions.add_seen(seen, relay.base, ("10.0.0.1",))
    permissions.add_seen(seen, None, ("10.0.0.1",))
    assert {address.host for address in relay.held} == {"198.51.100.1"}


def test_a_flood_of_candidates_gets_a_few_permissions() -> None:
    relay, permissions = FakeRelay(), PeerPermissions(16)
    for number in range(200):
        add(permissions, candidate(f"203.0.113.{number}"), relay.base)
        add(permissions, candidate(f"10.0.0.{number}", CandidateType.HOST), relay.base)
    assert sum(relay.held.values()) == 16
    assert sum(address.host.startswith("203.") for address in relay.held) == 8


def test_many_networks_of_a_peer_do_not_crowd_out_what_the_outside_sees() -> None:
    relay, permissions = FakeRelay(), PeerPermissions(4)
    for number in range(20):
        add(permissions, candidate(f"10.0.{number}.1", CandidateType.HOST), relay.base)
    add(permissions, candidate("203.0.113.1"), relay.base)
    assert relay.held[TransportAddress("203.0.113.1", 9)] == 1


def test_ports_of_one_host_are_one_permission_and_ipv6_is_none_of_an_ipv4_relay() -> None:
    relay, permissions = FakeRelay(), PeerPermissions()
    add(permissions, candidate("203.0.113.1", port=1), relay.base)
    add(permissions, candidate("203.0.113.1", port=2), relay.base)
    add(permissions, candidate("2001:db8::1"), relay.base)
    assert sum(relay.held.values()) == 1


def test_another_relay_is_asked_for_all_of_them() -> None:
    first, second, permissions = FakeRelay(), FakeRelay(), PeerPermissions()
    add(permissions, candidate("203.0.113.1"), None)
    permissions.use(first.base)
    permissions.use(first.base)
    add(permissions, candidate("203.0.113.2"), second.base)
    assert sum(first.held.values()) == 1
    assert sum(second.held.values()) == 2


def test_the_end_of_a_session_gives_them_back() -> None:
    relay, permissions = FakeRelay(), PeerPermissions()
    add(permissions, candidate("203.0.113.1"), relay.base)
    permissions.release()
    permissions.release()
    assert sum(relay.held.values()) == 0
