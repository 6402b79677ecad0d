"""Permissions, channels and what they let through: RFC 8656 sections 9 to 12."""

import pytest

from p2p.address import TransportAddress
from p2p.proto.stun.attributes import (
    ADDITIONAL_ADDRESS_FAMILY,
    CHANNEL_NUMBER,
    DATA,
    PRIORITY,
    XOR_PEER_ADDRESS,
)
from p2p.proto.stun.message import Method
from relay.core.counters import Drop
from tests.unit.relay.support import PEER, PEER_V6, RELAY_HOST, Client, Relay, error_of

OTHER = TransportAddress("9.9.9.9", 5000)
SAME_HOST = TransportAddress(PEER.host, PEER.port + 1)
PRIVATE = TransportAddress("10.0.0.1", 5000)


@pytest.fixture
def relay():
    return Relay()


@pytest.fixture
def client(relay):
    client = Client(relay)
    client.allocate()
    return client


def _bind(client, number=0x4000, peer=PEER):
    return error_of(client.request(Method.CHANNEL_BIND, CHANNEL_NUMBER(number), XOR_PEER_ADDRESS(peer)))


def _send(client, data=b"hello", peer=PEER, *more):
    client.indicate(Method.SEND, XOR_PEER_ADDRESS(peer), DATA(data), *more)


# --- permissions --------------------------------------------------------------------------------------------


def test_without_a_permission_nothing_passes(relay, client):
    _send(client)
    client.allocation.receive_from_peer(PEER, (b"hi",))
    assert not client.socket.sent
    assert not client.leg.messages
    assert relay.counters.drops[Drop.NO_PERMISSION] == 2


def test_a_permission_is_for_a_host_and_all_its_ports(client):
    assert error_of(client.permit()) == 0
    _send(client, b"one", PEER)
    _send(client, b"", SAME_HOST)
    assert client.socket.sent == [(PEER, b"one"), (SAME_HOST, b"")]
    client.allocation.receive_from_peer(SAME_HOST, (b"hi", b""))
    assert [message.get(DATA) for message in client.leg.messages] == [b"hi", b""]
    assert all(message.get(XOR_PEER_ADDRESS) == SAME_HOST for message in client.leg.messages)
    assert all(message.method == Method.DATA for message in client.leg.messages)


def test_a_permission_lasts_five_minutes_and_sending_does_not_prolong_it(relay, client):
    client.permit()
    relay.advance(299)
    _send(client)
    relay.advance(2)
    _send(client)
    assert len(client.socket.sent) == 1


def test_a_permission_is_refreshed_by_asking_again(relay, client):
    client.permit()
    relay.advance(200)
    client.permit()
    relay.advance(200)
    _send(client)
    assert len(client.socket.sent) == 1


def test_all_permissions_of_a_request_or_none(client):
    answer = client.request(Method.CREATE_PERMISSION, XOR_PEER_ADDRESS(PEER), XOR_PEER_ADDRESS(PRIVATE))
    assert error_of(answer) == 403
    assert not client.allocation.permissions
    answer = client.request(Method.CREATE_PERMISSION, XOR_PEER_ADDRESS(PEER), XOR_PEER_ADDRESS(OTHER))
    assert error_of(answer) == 0
    assert set(client.allocation.permissions) == {PEER.host, OTHER.host}


def test_a_permission_needs_a_peer_and_an_allocation(relay, client):
    assert error_of(client.request(Method.CREATE_PERMISSION)) == 400
    assert error_of(client.permit(PEER_V6)) == 443
    assert error_of(Client(relay, 4001).permit()) == 437


def test_permissions_are_bounded(client):
    for number in range(1024):
        address = TransportAddress(f"8.8.{number // 256}.{number % 256}", 1)
        assert error_of(client.permit(address)) == 0
    assert error_of(client.permit(OTHER)) == 508
    assert error_of(client.permit(TransportAddress("8.8.0.7", 1))) == 0
    assert _bind(client, peer=OTHER) == 508


# --- channels -----------------------------------------------------------------------------------------------


def test_a_channel_carries_data_both_ways(relay, client):
    assert _bind(client) == 0
    channel = client.allocation.channels[0x4000]
    client.allocation.send_on_channel(channel, [b"a", memoryview(b"b")])
    assert client.socket.sent == [(PEER, b"a"), (PEER, b"b")]
    client.allocation.receive_from_peer(PEER, [b"c", b"d"])
    assert client.leg.channel_data == [(0x4000, b"c"), (0x4000, b"d")]
    assert relay.counters.packets_to_peers == relay.counters.packets_to_clients == 2


def test_a_channel_is_a_permission_for_the_host(client):
    _bind(client)
    client.allocation.receive_from_peer(SAME_HOST, (b"from another port",))
    assert client.leg.messages[0].get(DATA) == b"from another port"


@pytest.mark.parametrize("number", [0x4000, 0x4FFF, 0x7FFF])
def test_numbers_that_channels_may_have(client, number):
    assert _bind(client, number) == 0


@pytest.mark.parametrize("number", [0, 0x3FFF, 0x8000, 0xFFFF])
def test_numbers_that_channels_may_not_have(client, number):
    assert _bind(client, number) == 400


def test_number_and_peer_belong_together(client):
    assert _bind(client, 0x4000, PEER) == 0
    assert _bind(client, 0x4000, OTHER) == 400
    assert _bind(client, 0x4001, PEER) == 400
    assert _bind(client, 0x4000, SAME_HOST) == 400
    assert _bind(client, 0x4001, SAME_HOST) == 0
    assert _bind(client, 0x4000, PEER) == 0


def test_what_else_a_channel_needs(relay, client):
    assert error_of(client.request(Method.CHANNEL_BIND, CHANNEL_NUMBER(0x4000))) == 400
    assert error_of(client.request(Method.CHANNEL_BIND, XOR_PEER_ADDRESS(PEER))) == 400
    assert _bind(client, peer=PRIVATE) == 403
    assert _bind(client, peer=PEER_V6) == 443
    assert _bind(Client(relay, 4001)) == 437


def test_a_channel_lasts_ten_minutes_its_permission_five(relay, client):
    client.refresh()
    _bind(client)
    relay.advance(301)
    client.refresh()
    client.allocation.receive_from_peer(PEER, (b"late",))
    assert not client.leg.channel_data
    client.permit()
    client.allocation.receive_from_peer(PEER, (b"again",))
    assert client.leg.channel_data == [(0x4000, b"again")]
    relay.advance(300)
    assert 0x4000 not in client.allocation.channels
    assert _bind(client, 0x4000, OTHER) == 0


def test_channels_are_bounded(client):
    for number in range(1024):
        peer = TransportAddress("8.8.8.8", 1 + number)
        assert _bind(client, 0x4000 + number, peer) == 0
    assert _bind(client, 0x4FFF, TransportAddress("8.8.8.8", 9999)) == 508


def test_an_expired_allocation_leaves_no_channel(relay, client):
    _bind(client)
    allocation = client.allocation
    relay.advance(601)
    assert not allocation.channels
    assert not allocation.channel_of_peer
    assert not allocation.permissions
    assert len(relay.server.table._expiries) == 0


# --- indications --------------------------------------------------------------------------------------------


def test_indications_that_are_dropped(relay, client):
    client.permit()
    client.indicate(Method.SEND, XOR_PEER_ADDRESS(PEER))
    client.indicate(Method.SEND, DATA(b"x"))
    client.indicate(Method.DATA, XOR_PEER_ADDRESS(PEER), DATA(b"x"))
    client.indicate(Method.BINDING)
    _send(client, b"x", PEER, PRIORITY(1))
    _send(client, b"x", PEER_V6)
    _send(Client(relay, 4001))
    assert not client.socket.sent
    assert relay.counters.drops == {Drop.UNSUPPORTED: 5, Drop.NO_PERMISSION: 1, Drop.NO_ALLOCATION: 1}


def test_a_datagram_that_fits_no_indication_is_dropped():
    relay = Relay(ipv6=True)
    client = Client(relay)
    client.allocate(ADDITIONAL_ADDRESS_FAMILY(2))
    for peer, longest in ((PEER, 65_507), (PEER_V6, 65_504)):
        client.permit(peer)
        client.allocation.receive_from_peer(peer, (bytes(longest),))
        client.allocation.receive_from_peer(peer, (bytes(65_527),))
    assert [len(message.get(DATA)) for message in client.leg.messages] == [65_507, 65_504]
    assert relay.counters.drops[Drop.TOO_LONG] == 2


# --- two allocations of one relay ---------------------------------------------------------------------------


def test_neighbours_talk_inside_the_process(relay, client):
    other = Client(relay, 4001)
    other.allocate()
    here, there = client.socket.relayed_address, other.socket.relayed_address
    assert error_of(client.permit(there)) == 0
    _send(client, b"too early", there)
    assert relay.counters.drops[Drop.NO_PERMISSION] == 1
    assert _bind(other, 0x4001, here) == 0
    _send(client, b"hello", there)
    assert other.leg.channel_data == [(0x4001, b"hello")]
    other.allocation.send_on_channel(other.allocation.channels[0x4001], [b"hello to you"])
    assert client.leg.messages[0].get(DATA) == b"hello to you"
    assert client.leg.messages[0].get(XOR_PEER_ADDRESS) == there
    assert not client.socket.sent
    assert not other.socket.sent


def test_nothing_else_of_the_relays_own_host_is_reached(relay, client):
    elsewhere = TransportAddress(RELAY_HOST, 22)
    assert error_of(client.permit(elsewhere)) == 0
    assert _bind(client, 0x4000, elsewhere) == 0
    _send(client, b"x", elsewhere)
    client.allocation.send_on_channel(client.allocation.channels[0x4000], [b"x", b"y"])
    assert not client.socket.sent
    assert relay.counters.drops[Drop.FORBIDDEN_PEER] == 3


def test_a_neighbour_that_is_gone_is_gone(relay, client):
    other = Client(relay, 4001)
    there = other.allocate()
    _bind(client, 0x4000, there)
    other.release()
    client.allocation.send_on_channel(client.allocation.channels[0x4000], [b"x"])
    assert relay.counters.drops[Drop.FORBIDDEN_PEER] == 1
