"""Ports are handed out once, at random, and rest before they are used again."""

import pytest

from relay.core.ports import PortPool
from relay.core.relayed_ports import NoPortError, RelayedPorts, RelayHost
from tests.unit.relay.support import FakeSocket, Randomness, Relay


def _pool(first: int = 50_000, last: int = 50_009) -> PortPool:
    return PortPool(first, last, random_bytes=Randomness(), rest_s=60.0)


def test_every_port_is_handed_out_once_and_in_no_order():
    pool = _pool(50_000, 50_099)
    ports = [pool.take(0.0) for _ in range(100)]
    assert sorted(ports) == list(range(50_000, 50_100))
    assert ports != sorted(ports)
    assert pool.take(0.0) is None
    assert len(pool) == 0


def test_a_port_rests_before_it_is_used_again():
    pool = _pool(50_000, 50_001)
    first = pool.take(0.0)
    pool.give_back(first, 0.0)
    other = pool.take(1.0)
    assert other != first
    # Nothing else is left: the rested one is better than none.
    assert pool.take(2.0) == first


def test_a_rested_port_is_free_again():
    pool = _pool(50_000, 50_001)
    port = pool.take(0.0)
    pool.give_back(port, 0.0)
    assert len(pool) == 2
    assert {pool.take(61.0), pool.take(61.0)} == {50_000, 50_001}


def test_even_ports_with_their_neighbours():
    pool = _pool(50_000, 50_009)
    even = pool.take_even(0.0, with_next=True)
    assert even % 2 == 0
    taken = {even, even + 1}
    for _ in range(4):
        other = pool.take_even(0.0, with_next=False)
        assert other % 2 == 0
        assert other not in taken
        taken.add(other)
    assert pool.take_even(0.0, with_next=False) is None
    assert pool.take(0.0) % 2 == 1


def test_no_even_port_whose_neighbour_is_taken():
    pool = _pool(50_000, 50_001)
    assert pool.take_even(0.0, with_next=False) == 50_000
    pool.give_back(50_000, 0.0)
    assert pool.take(61.0) is not None
    remaining = pool.take(61.0)
    pool.give_back(remaining, 61.0)
    assert pool.take_even(200.0, with_next=True) is None


HOST = RelayHost(bind_host="10.0.0.1", public_host="192.0.2.1", first_port=50_000, last_port=50_003)


def test_ports_of_other_programs_are_skipped():
    relay = Relay(first_port=50_000, last_port=50_003)
    relay.taken_ports = {50_000, 50_001, 50_002}
    ports = RelayedPorts((HOST,), open_socket=relay._open, random_bytes=Randomness(), home_key=b"key")
    assert ports.open(False, 0.0, holder="alice").port == 50_003
    with pytest.raises(NoPortError):
        ports.open(False, 0.0, holder="alice")
    with pytest.raises(NoPortError):
        ports.open(True, 0.0, holder="alice")


def test_with_the_same_key_a_client_gets_the_same_port_unless_it_is_in_use_or_at_rest():
    host = RelayHost(bind_host="10.0.0.1", public_host="192.0.2.1")

    def start(key: bytes) -> RelayedPorts:
        return RelayedPorts((host,), open_socket=Relay()._open, random_bytes=Randomness(), home_key=key)

    def home(ports: RelayedPorts, holder: str) -> int:
        return ports.open(False, 0.0, holder=holder).port

    before, after, foreign = start(b"key"), start(b"key"), start(b"another key")
    homes = {holder: home(before, holder) for holder in ("alice", "bob")}
    assert homes == {holder: home(after, holder) for holder in ("bob", "alice")}
    assert homes["alice"] != home(foreign, "alice")
    assert home(before, "alice") != homes["alice"]
    third = start(b"key")
    socket = third.open(False, 0.0, holder="alice")
    third.release(socket, 0.0)
    assert home(third, "alice") != homes["alice"]
    assert third.open(False, 61.0, holder="alice").port == homes["alice"]


def test_a_reservation_holds_the_next_port_until_it_is_claimed():
    relay = Relay()
    ports = RelayedPorts((HOST,), open_socket=relay._open, random_bytes=Randomness(), home_key=b"key")
    over = []
    even, token = ports.open_even(False, 0.0, on_reservation_over=lambda: over.append(1))
    assert not over
    odd = ports.claim(token)
    assert over
    assert odd.port == even.port + 1
    assert ports.next_at() is None
    with pytest.raises(NoPortError):
        ports.claim(token)


def test_a_reservation_that_nobody_claims_ends():
    relay = Relay()
    ports = RelayedPorts((HOST,), open_socket=relay._open, random_bytes=Randomness(), home_key=b"key")
    over = []
    even, token = ports.open_even(False, 0.0, on_reservation_over=lambda: over.append(1))
    assert ports.next_at() == 30.0
    ports.expire(30.0)
    assert over
    assert relay.sockets[even.port + 1].is_closed
    with pytest.raises(NoPortError):
        ports.claim(token)


def test_half_a_pair_is_given_back():
    relay = Relay()
    relay.taken_ports = {50_001, 50_003}
    ports = RelayedPorts((HOST,), open_socket=relay._open, random_bytes=Randomness(), home_key=b"key")
    with pytest.raises(NoPortError):
        ports.open_even(False, 0.0, on_reservation_over=lambda: None)
    assert all(socket.is_closed for socket in relay.sockets.values())
    assert isinstance(ports.open_even(False, 100.0)[0], FakeSocket)
