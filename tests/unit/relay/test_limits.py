"""How fast data is relayed, how often credentials may be wrong, and who is known."""

import pytest

from p2p.address import TransportAddress
from p2p.proto.stun.attributes import CHANNEL_NUMBER, DATA, REQUESTED_TRANSPORT, XOR_PEER_ADDRESS
from p2p.proto.stun.message import Method
from relay.core.counters import Drop
from relay.core.credentials import rest_password
from relay.core.five_tuple import ClientTransport
from relay.core.guesses import GuessLimit
from relay.core.known_hosts import KnownHosts
from relay.core.rates import RateLimit, RateLimits, Rates
from tests.unit.relay.support import PEER, SECRET, WALL_AT_START, Client, Relay, error_of

WANT_UDP = REQUESTED_TRANSPORT(17)
BURST_BYTES = 131_072
BURST_PACKETS = 128


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


# --- rates --------------------------------------------------------------------------------------------------


def test_without_limits_nobody_is_asked():
    rates = Rates(RateLimits(), clock=Clock())
    assert not rates.join("alice", "192.0.2.1").is_limited


@pytest.mark.parametrize("which", ["user", "address", "total"])
def test_bytes_pass_at_the_rate_in_the_long_run(which):
    clock = Clock()
    rates = Rates(RateLimits(**{which: RateLimit(bytes_per_s=1_000_000)}), clock=clock)
    group = rates.join("alice", "192.0.2.1")
    assert group.is_limited
    passed = 0
    for step in range(1000):
        clock.now = step * 0.01
        passed += group.take([bytes(1000)] * 20) * 1000
    assert passed == pytest.approx(10_000_000, rel=0.05)


def test_packets_pass_at_the_rate_and_the_first_of_a_batch_come_first():
    clock = Clock()
    rates = Rates(RateLimits(user=RateLimit(packets_per_s=100)), clock=clock)
    group = rates.join("alice", "192.0.2.1")
    assert group.take([b""] * 5000) == BURST_PACKETS
    assert group.take([b""]) == 0
    clock.now = 0.5
    assert group.take([b""] * 100) == 50


def test_a_small_datagram_does_not_overtake_a_large_one():
    rates = Rates(RateLimits(user=RateLimit(bytes_per_s=1)), clock=Clock())
    group = rates.join("alice", "192.0.2.1")
    assert group.take([bytes(BURST_BYTES), b"x", b""]) == 1
    assert group.take([b"x", b""]) == 0


def test_allocations_of_a_user_share_and_those_of_another_do_not():
    rates = Rates(RateLimits(user=RateLimit(packets_per_s=1)), clock=Clock())
    one, two = rates.join("alice", "192.0.2.1"), rates.join("alice", "192.0.2.2")
    other = rates.join("bob", "192.0.2.1")
    assert one.take([b""] * 100) == 100
    assert two.take([b""] * 100) == BURST_PACKETS - 100
    assert other.take([b""] * 100) == 100


def test_what_one_limit_refuses_costs_nothing_of_the_others():
    rates = Rates(RateLimits(user=RateLimit(packets_per_s=1), total=RateLimit(packets_per_s=1)), clock=Clock())
    one, other = rates.join("alice", "192.0.2.1"), rates.join("bob", "192.0.2.2")
    assert one.take([b""] * 64) == 64
    for _ in range(10):
        one.take([b""] * 1000)
    assert other.take([b""] * 100) == 0  # of the total, alice has taken all
    rates.set_limits(RateLimits(user=RateLimit(packets_per_s=1)))
    assert other.take([b""] * 100) == 100


def test_limits_that_change_hold_for_those_who_are_here():
    rates = Rates(RateLimits(), clock=Clock())
    group = rates.join("alice", "192.0.2.1")
    rates.set_limits(RateLimits(address=RateLimit(packets_per_s=1)))
    assert group.is_limited
    assert group.take([b""] * 1000) == BURST_PACKETS
    rates.set_limits(RateLimits())
    assert not group.is_limited


def test_nothing_is_left_of_those_who_have_gone():
    rates = Rates(RateLimits(), clock=Clock())
    groups = [rates.join("alice", f"192.0.2.{number}") for number in range(3)]
    for group in groups:
        rates.leave(group)
    assert not rates._of_user
    assert not rates._of_address
    assert not rates._groups


def test_data_beyond_the_rate_is_dropped_and_counted_in_both_directions():
    relay = Relay(rates=RateLimits(user=RateLimit(packets_per_s=1)))
    client = Client(relay)
    client.allocate()
    client.request(Method.CHANNEL_BIND, CHANNEL_NUMBER(0x4000), XOR_PEER_ADDRESS(PEER))
    allocation = client.allocation
    allocation.send_on_channel(allocation.channels[0x4000], [b"x"] * 100)
    allocation.receive_from_peer(PEER, [b"y"] * 100)
    assert len(client.socket.sent) == 100
    assert len(client.leg.channel_data) == BURST_PACKETS - 100
    client.indicate(Method.SEND, XOR_PEER_ADDRESS(PEER), DATA(b"z"))
    allocation.send_on_channel(allocation.channels[0x4000], [b"x"])
    assert len(client.socket.sent) == 100
    assert relay.counters.drops[Drop.RATE_LIMIT] == 200 - BURST_PACKETS + 2
    relay.advance(2)
    client.indicate(Method.SEND, XOR_PEER_ADDRESS(PEER), DATA(b"z"))
    assert client.socket.sent[-1] == (PEER, b"z")
    client.release()
    assert not relay.server._rates._of_user


# --- guesses ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", [ClientTransport.UDP, ClientTransport.TLS])
def test_who_guesses_is_not_heard_for_a_while_and_who_is_here_is(transport):
    relay = Relay(guesses=GuessLimit(burst=3, per_s=0.1))
    client = Client(relay, transport=transport)
    client.allocate()
    guesser = Client(relay, 4001, password="wrong", transport=transport)
    for _ in range(3):
        assert error_of(guesser.request(Method.ALLOCATE, WANT_UDP)) == 401
    right = Client(relay, 4002, transport=transport)
    for waiting in (guesser, right):
        assert waiting.raw(waiting.encoded(Method.ALLOCATE, WANT_UDP)) is None
    assert relay.counters.drops[Drop.GUESS_LIMIT] == 2
    assert error_of(right.plain(Method.ALLOCATE, WANT_UDP)) == 401  # the first request of everybody
    assert error_of(client.refresh()) == 0
    elsewhere = Client(relay, 4001, host="203.0.113.8")
    elsewhere.allocate()
    relay.advance(10)
    right.allocate()


def test_time_limited_credentials_that_have_ended_lock_nobody_out():
    relay = Relay(guesses=GuessLimit(burst=3, per_s=0.1))
    ended, good = (f"{int(WALL_AT_START) + seconds}:peer" for seconds in (-1, 100))
    for port in range(1, 20):
        late = Client(relay, port, username=ended, password=rest_password(SECRET, ended))
        assert error_of(late.request(Method.ALLOCATE, WANT_UDP)) == 401
    Client(relay, username=good, password=rest_password(SECRET, good)).allocate()
    Client(relay, 4001).allocate()


def test_a_hidden_name_is_a_guess_too():
    relay = Relay(guesses=GuessLimit(burst=3, per_s=0.1))
    guesser = Client(relay, password="wrong", is_hidden=True)
    for _ in range(3):
        assert error_of(guesser.request(Method.ALLOCATE, WANT_UDP)) == 401
    assert guesser.raw(guesser.encoded(Method.ALLOCATE, WANT_UDP)) is None


def test_guessers_do_not_fill_the_memory():
    guesses = GuessLimit(remembered=10)
    for number in range(100):
        guesses.failed(TransportAddress(f"192.0.2.{number}", 1), 0.0)
    assert len(guesses._failures) == 10


# --- known hosts --------------------------------------------------------------------------------------------


def test_a_host_is_known_for_a_day():
    known = KnownHosts()
    known.note("192.0.2.1", 100.0, is_proven=False)
    known.note("2620:fe:1:2::1", 100.0, is_proven=True)
    for host in ("192.0.2.1", "2620:fe:1:2::1", "2620:fe:1:2::99"):
        assert known.knows(host, 100.0)
        assert known.knows(host, 86_499.0)
        assert not known.knows(host, 86_501.0)
    for host in ("192.0.2.2", "2620:fe:1:3::1"):
        assert not known.knows(host, 100.0)


def test_forged_sources_push_out_no_proven_ones():
    known = KnownHosts(remembered=10)
    known.note("192.0.2.1", 0.0, is_proven=True)
    known.note("192.0.2.2", 0.0, is_proven=False)
    for number in range(100):
        known.note(f"198.51.100.{number}", 1.0, is_proven=False)
    assert known.knows("192.0.2.1", 2.0)
    assert not known.knows("192.0.2.2", 2.0)
    assert len(known._seen) == 10


def test_peers_are_those_who_have_asked_for_their_address_or_relayed():
    relay = Relay(known_peers_only=True)
    client = Client(relay)
    client.allocate()
    assert error_of(client.permit(PEER)) == 403
    Client(relay, PEER.port, host=PEER.host).plain(Method.ALLOCATE, WANT_UDP)  # proves and says nothing
    assert error_of(client.permit(PEER)) == 403
    Client(relay, 9, host=PEER.host).plain(Method.BINDING)
    assert error_of(client.permit(PEER)) == 0
    other = PEER._replace(host="9.9.9.9")
    Client(relay, 9, host=other.host, username="bob").allocate()
    assert error_of(client.permit(other)) == 0


def test_a_permission_goes_on_when_its_host_is_known_no_longer():
    relay = Relay(known_peers_only=True)
    client = Client(relay)
    Client(relay, 9, host=PEER.host).plain(Method.BINDING)
    client.allocate()
    client.permit(PEER)
    for _ in range(400):
        relay.advance(250)
        client.nonce = relay.nonces.issue(client.five_tuple.client, relay.now_wall)
        client.refresh()
        assert error_of(client.permit(PEER)) == 0
    assert not relay.known.knows(PEER.host, relay.now)
    relay.advance(301)
    assert error_of(client.permit(PEER)) == 403
