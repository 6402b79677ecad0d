"""TCP to peers, as messages: RFC 6062."""

import pytest

from p2p.address import TransportAddress
from p2p.proto.stun.attributes import (
    CHANNEL_NUMBER,
    CONNECTION_ID,
    DATA,
    DONT_FRAGMENT,
    EVEN_PORT,
    REQUESTED_TRANSPORT,
    RESERVATION_TOKEN,
    XOR_PEER_ADDRESS,
)
from p2p.proto.stun.message import Method
from relay.core.counters import Drop
from relay.core.credentials import rest_password
from relay.core.five_tuple import ClientTransport
from tests.unit.relay.support import PEER, PEER_V6, RELAY_HOST, SECRET, WALL_AT_START, Client, Relay, error_of

WANT_TCP = REQUESTED_TRANSPORT(6)
TCP = ClientTransport.TCP


class FakeStream:
    def __init__(self) -> None:
        self.is_closed = False

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def relay() -> Relay:
    return Relay()


def _allocated(relay: Relay, port: int = 4000, **options) -> Client:
    client = Client(relay, port, transport=TCP, **options)
    answer = client.request(Method.ALLOCATE, WANT_TCP)
    assert error_of(answer) == 0
    return client


def _connecting(client: Client, peer: TransportAddress = PEER) -> int:
    """Ask for a connection; return the number under which the relayed socket was asked to make it."""
    assert client.raw(client.encoded(Method.CONNECT, XOR_PEER_ADDRESS(peer))) is None
    asked, number = client.socket.connecting[-1]
    assert asked == peer
    return number


def _connected(relay: Relay, client: Client, peer: TransportAddress = PEER) -> tuple[int, FakeStream]:
    number, stream = _connecting(client, peer), FakeStream()
    relay.server.tcp.peer_connected(number, stream, relay.now)
    answer = client.leg.messages[-1]
    assert (answer.method, error_of(answer), answer.get(CONNECTION_ID)) == (Method.CONNECT, 0, number)
    assert answer.has_integrity
    return number, stream


@pytest.mark.parametrize(
    "attributes", [(EVEN_PORT(False),), (EVEN_PORT(True),), (RESERVATION_TOKEN(bytes(8)),), (DONT_FRAGMENT(True),)]
)
def test_what_only_datagrams_have_is_a_bad_request(relay, attributes):
    assert error_of(Client(relay, transport=TCP).request(Method.ALLOCATE, WANT_TCP, *attributes)) == 400


def test_it_must_be_allowed():
    assert error_of(Client(Relay(tcp_to_peers=False), transport=TCP).request(Method.ALLOCATE, WANT_TCP)) == 442


def test_a_client_over_udp_gets_no_tcp(relay):
    assert error_of(Client(relay).request(Method.ALLOCATE, WANT_TCP)) == 400


def test_the_answer_to_connect_comes_when_the_peer_has_answered(relay):
    client = _allocated(relay)
    number, stream = _connected(relay, client)
    assert not stream.is_closed
    assert relay.counters.requests["connect", "success"] == 1
    data = Client(relay, 4001, transport=TCP)
    assert error_of(data.request(Method.CONNECTION_BIND, CONNECTION_ID(number))) == 0
    bound = relay.server.tcp.take_bound()
    assert (bound.stream, bound.allocation, bound.peer) == (stream, client.allocation, PEER)
    assert relay.server.tcp.take_bound() is None
    relay.advance(100)
    assert not stream.is_closed


def test_a_peer_that_does_not_answer_is_an_error_and_may_be_tried_again(relay):
    client = _allocated(relay)
    number = _connecting(client)
    relay.server.tcp.peer_failed(number)
    assert error_of(client.leg.messages[-1]) == 447
    relay.server.tcp.peer_failed(number)
    assert len(client.leg.messages) == 1
    _connected(relay, client)


def test_one_connection_with_a_peer(relay):
    client = _allocated(relay)
    _connecting(client)
    assert error_of(client.request(Method.CONNECT, XOR_PEER_ADDRESS(PEER))) == 446
    _connecting(client, PEER._replace(port=5001))


def test_what_makes_no_sense_is_refused(relay):
    datagrams = Client(relay, 4001, transport=TCP)
    assert error_of(datagrams.request(Method.CONNECT, XOR_PEER_ADDRESS(PEER))) == 437
    datagrams.allocate()
    assert error_of(datagrams.request(Method.CONNECT, XOR_PEER_ADDRESS(PEER))) == 437
    client = _allocated(relay)
    assert error_of(client.request(Method.CONNECT)) == 400
    assert error_of(client.request(Method.CONNECT, XOR_PEER_ADDRESS(PEER_V6))) == 443
    for host in ("10.0.0.1", "127.0.0.1", "169.254.169.254"):
        assert error_of(client.request(Method.CONNECT, XOR_PEER_ADDRESS(PEER._replace(host=host)))) == 403
    assert error_of(client.request(Method.CHANNEL_BIND, CHANNEL_NUMBER(0x4000), XOR_PEER_ADDRESS(PEER))) == 403
    client.permit()
    client.indicate(Method.SEND, XOR_PEER_ADDRESS(PEER), DATA(b"x"))
    assert not client.socket.sent
    assert relay.counters.drops == {Drop.UNSUPPORTED: 1}


def test_of_the_relays_own_host_only_allocations_for_tcp_are_reached(relay):
    client, other = _allocated(relay), _allocated(relay, 4001)
    datagrams = Client(relay, 4002)
    there = datagrams.allocate()
    for peer in (TransportAddress(RELAY_HOST, 22), there):
        assert error_of(client.request(Method.CONNECT, XOR_PEER_ADDRESS(peer))) == 447
    _connecting(client, other.socket.relayed_address)
    datagrams.permit(other.socket.relayed_address)
    datagrams.indicate(Method.SEND, XOR_PEER_ADDRESS(other.socket.relayed_address), DATA(b"x"))
    assert not other.leg.messages
    assert relay.counters.drops[Drop.FORBIDDEN_PEER] == 1


def test_a_peer_that_comes_is_told_of_if_it_may_send(relay):
    client = _allocated(relay)
    stranger, friend = FakeStream(), FakeStream()
    relay.server.tcp.peer_arrived(client.allocation, PEER, stranger, relay.now)
    assert stranger.is_closed
    client.permit()
    relay.server.tcp.peer_arrived(client.allocation, PEER, friend, relay.now)
    attempt = client.leg.messages[-1]
    assert (attempt.method, attempt.get(XOR_PEER_ADDRESS)) == (Method.CONNECTION_ATTEMPT, PEER)
    data = Client(relay, 4001, transport=TCP)
    assert error_of(data.request(Method.CONNECTION_BIND, CONNECTION_ID(attempt.get(CONNECTION_ID)))) == 0
    assert not friend.is_closed


def test_a_connection_waits_for_its_client_for_half_a_minute(relay):
    client = _allocated(relay)
    number, stream = _connected(relay, client)
    relay.advance(31)
    assert stream.is_closed
    assert error_of(Client(relay, 4001, transport=TCP).request(Method.CONNECTION_BIND, CONNECTION_ID(number))) == 400
    assert len(relay.server.tcp.connections) == 0


def test_data_connections_are_bound_once_by_their_user_over_a_connection_of_their_own(relay):
    client = _allocated(relay)
    number, _ = _connected(relay, client)
    bind = (Method.CONNECTION_BIND, CONNECTION_ID(number))
    assert error_of(client.request(*bind)) == 400
    assert error_of(Client(relay, 4001).request(*bind)) == 400
    assert error_of(Client(relay, 4001, transport=TCP, username="bob").request(*bind)) == 441
    data = Client(relay, 4001, transport=TCP)
    for attributes in ((), (CONNECTION_ID(number ^ 1),)):
        assert error_of(data.request(Method.CONNECTION_BIND, *attributes)) == 400
    assert error_of(data.plain(*bind)) == 401
    assert relay.server.tcp.take_bound() is None
    assert error_of(data.request(*bind)) == 0
    assert error_of(Client(relay, 4002, transport=TCP).request(*bind)) == 400


def test_credentials_that_have_ended_still_bind(relay):
    name = f"{int(WALL_AT_START) + 100}:peer"
    options = {"username": name, "password": rest_password(SECRET, name)}
    client = _allocated(relay, **options)
    relay.advance(200)
    number, _ = _connected(relay, client)
    data = Client(relay, 4001, transport=TCP, **options)
    assert error_of(data.request(Method.CONNECTION_BIND, CONNECTION_ID(number))) == 0


def test_connections_end_with_their_allocation(relay):
    client = _allocated(relay)
    _, bound_stream = number, stream = _connected(relay, client)
    Client(relay, 4001, transport=TCP).request(Method.CONNECTION_BIND, CONNECTION_ID(number))
    waiting = _connecting(client, PEER._replace(port=1))
    client.release()
    assert stream.is_closed
    late = FakeStream()
    relay.server.tcp.peer_connected(waiting, late, relay.now)
    assert late.is_closed
    assert bound_stream is stream
    assert len(relay.server.tcp.connections) == 0
    assert not relay.server.tcp.connections._of_allocation


def test_connections_of_an_allocation_are_bounded(relay):
    client = _allocated(relay)
    for port in range(1, 65):
        _connecting(client, PEER._replace(port=port))
    assert error_of(client.request(Method.CONNECT, XOR_PEER_ADDRESS(PEER._replace(port=65)))) == 508
    client.permit()
    late = FakeStream()
    relay.server.tcp.peer_arrived(client.allocation, PEER._replace(port=65), late, relay.now)
    assert late.is_closed
