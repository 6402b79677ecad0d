import pytest

from p2p.address import TransportAddress
from p2p.proto.stun.attributes import (
    ALTERNATE_SERVER,
    MAPPED_ADDRESS,
    OTHER_ADDRESS,
    RESPONSE_ORIGIN,
    XOR_MAPPED_ADDRESS,
)
from p2p.proto.stun.client import BindingClient, BindingFailed, BindingSucceeded
from p2p.proto.stun.errors import CODE_NO_ANSWER, CODE_REFUSED
from p2p.proto.stun.message import decode_untrusted, encode
from tests.support.nat_box import transaction_ids

SERVER = TransportAddress("198.51.100.10", 3478)
OTHER = TransportAddress("198.51.100.20", 3479)
MAPPED = TransportAddress("203.0.113.7", 5555)


@pytest.fixture
def client():
    client = BindingClient(SERVER, transaction_ids())
    client.start(0.0)
    return client


def request_of(client):
    (datagram,) = client.datagrams_to_send(0.0)
    assert datagram.destination == SERVER
    return decode_untrusted(datagram.data)


def test_success(client):
    response = request_of(client).success_response(
        XOR_MAPPED_ADDRESS(MAPPED), RESPONSE_ORIGIN(SERVER), OTHER_ADDRESS(OTHER)
    )
    assert client.receive_datagram(encode(response), SERVER, 0.03)
    assert client.next_event() == BindingSucceeded(SERVER, MAPPED, 0.03, OTHER, SERVER)
    assert client.next_event() is None
    assert client.get_timer() is None


def test_plain_mapped_address_will_do(client):
    client.receive_datagram(encode(request_of(client).success_response(MAPPED_ADDRESS(MAPPED))), SERVER, 0.03)
    assert client.next_event().mapped_address == MAPPED


def test_retransmits_and_gives_up(client):
    sent = 0
    while (timer := client.get_timer()) is not None:
        sent += len(client.datagrams_to_send(timer))
        client.handle_timer(timer)
    assert sent == 7
    assert timer is None
    assert client.next_event().error.error_code is CODE_NO_ANSWER


def test_refusal_names_the_alternate_server(client):
    response = request_of(client).error_response(300, "Try Alternate", ALTERNATE_SERVER(OTHER))
    client.receive_datagram(encode(response), SERVER, 0.03)
    event = client.next_event()
    assert isinstance(event, BindingFailed)
    assert (event.stun_code, event.alternate_server) == (300, OTHER)
    assert event.error.error_code is CODE_REFUSED
    assert str(OTHER) in str(event.error)


def test_answer_without_an_address_is_a_failure(client):
    client.receive_datagram(encode(request_of(client).success_response()), SERVER, 0.03)
    assert isinstance(client.next_event(), BindingFailed)


def test_foreign_datagrams_are_not_ours(client):
    request = request_of(client)
    good = encode(request.success_response(XOR_MAPPED_ADDRESS(MAPPED)))
    assert not client.receive_datagram(good, OTHER, 0.1)
    assert not client.receive_datagram(good[:-4], SERVER, 0.1)
    assert not client.receive_datagram(encode(request), SERVER, 0.1)
    assert not client.receive_datagram(b"\x40\0\0\0", SERVER, 0.1)
    another = bytearray(good)
    another[19] ^= 1
    assert not client.receive_datagram(bytes(another), SERVER, 0.1)
    assert client.next_event() is None
    assert client.receive_datagram(good, SERVER, 0.1)


def test_can_be_started_again_but_not_twice_at_once(client):
    first = request_of(client)
    client.start(0.1)
    assert client.datagrams_to_send(0.1) == []
    client.receive_datagram(encode(first.success_response(XOR_MAPPED_ADDRESS(MAPPED))), SERVER, 0.2)
    client.start(5.0)
    assert request_of(client).transaction_id != first.transaction_id
