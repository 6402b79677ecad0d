"""Allocate and Refresh: RFC 8656 sections 7.2 and 8.2."""

import pytest

from p2p.proto.stun.attributes import (
    ADDITIONAL_ADDRESS_FAMILY,
    ADDRESS_ERROR_CODE,
    DATA,
    DONT_FRAGMENT,
    EVEN_PORT,
    ICMP,
    LIFETIME,
    REQUESTED_ADDRESS_FAMILY,
    REQUESTED_TRANSPORT,
    RESERVATION_TOKEN,
    XOR_PEER_ADDRESS,
    XOR_RELAYED_ADDRESS,
)
from p2p.proto.stun.message import Method
from relay.core.counters import Drop
from relay.core.quotas import QuotaLimits
from relay.core.table import EndReason
from tests.unit.relay.support import PEER, PEER_V6, RELAY_HOST_V6, Client, Relay, error_of

WANT_UDP = REQUESTED_TRANSPORT(17)
IPV4, IPV6 = 1, 2


def _allocate(client: Client, *attributes):
    return client.request(Method.ALLOCATE, WANT_UDP, *attributes)


@pytest.mark.parametrize(
    ("wanted", "granted"), [(None, 600), (0, 600), (10, 600), (777, 777), (3600, 3600), (2**32 - 1, 3600)]
)
def test_the_lifetime_is_between_the_default_and_the_maximum(wanted, granted):
    client = Client(Relay())
    attributes = () if wanted is None else (LIFETIME(wanted),)
    assert _allocate(client, *attributes).get(LIFETIME) == granted


def test_an_allocation_ends_when_it_is_not_refreshed():
    relay = Relay()
    client = Client(relay)
    client.allocate()
    socket = client.socket
    relay.advance(599)
    assert len(relay.server.table) == 1
    relay.advance(2)
    assert len(relay.server.table) == 0
    assert socket.is_closed
    assert relay.observer.ended == [EndReason.EXPIRED]
    assert relay.server.get_timer() is None
    assert error_of(client.refresh()) == 437


def test_a_refresh_keeps_it():
    relay = Relay()
    client = Client(relay)
    client.allocate()
    for _ in range(5):
        relay.advance(500)
        assert client.refresh().get(LIFETIME) == 600
    assert len(relay.server.table) == 1


def test_lifetime_zero_ends_it_and_the_retransmission_is_harmless():
    relay = Relay()
    client = Client(relay)
    client.allocate()
    socket = client.socket
    assert client.release().get(LIFETIME) == 0
    assert socket.is_closed
    assert error_of(client.release()) == 437
    assert not relay.neighbourhood.by_relayed_address


def test_a_retransmission_gets_the_same_answer_and_no_second_allocation():
    relay = Relay()
    client = Client(relay)
    first = client.request(Method.ALLOCATE, WANT_UDP, transaction_id=b"transaction1")
    again = client.request(Method.ALLOCATE, WANT_UDP, transaction_id=b"transaction1")
    assert first.raw == again.raw
    assert len(relay.sockets) == 1


def test_a_second_allocation_on_the_five_tuple_is_refused():
    client = Client(Relay())
    client.allocate()
    assert error_of(_allocate(client)) == 437


def test_after_a_release_the_five_tuple_is_free():
    client = Client(Relay())
    first = client.allocate()
    client.release()
    assert client.allocate() != first


@pytest.mark.parametrize(
    ("attributes", "error"),
    [
        ((), 400),
        ((REQUESTED_TRANSPORT(6),), 400),
        ((REQUESTED_TRANSPORT(1),), 442),
        ((REQUESTED_TRANSPORT(0),), 442),
        ((WANT_UDP, REQUESTED_ADDRESS_FAMILY(3)), 440),
        ((WANT_UDP, REQUESTED_ADDRESS_FAMILY(IPV6)), 440),
        ((WANT_UDP, RESERVATION_TOKEN(bytes(8))), 508),
        ((WANT_UDP, RESERVATION_TOKEN(bytes(8)), EVEN_PORT(False)), 400),
        ((WANT_UDP, RESERVATION_TOKEN(bytes(8)), REQUESTED_ADDRESS_FAMILY(IPV4)), 400),
        ((WANT_UDP, RESERVATION_TOKEN(bytes(8)), ADDITIONAL_ADDRESS_FAMILY(IPV6)), 400),
        ((WANT_UDP, REQUESTED_ADDRESS_FAMILY(IPV4), ADDITIONAL_ADDRESS_FAMILY(IPV6)), 400),
        ((WANT_UDP, ADDITIONAL_ADDRESS_FAMILY(IPV4)), 400),
        ((WANT_UDP, ADDITIONAL_ADDRESS_FAMILY(IPV6), EVEN_PORT(True)), 400),
    ],
)
def test_what_makes_no_sense_is_refused(attributes, error):
    relay = Relay()
    assert error_of(Client(relay).request(Method.ALLOCATE, *attributes)) == error
    assert len(relay.server.table) == 0
    assert all(socket.is_closed for socket in relay.sockets.values())


def test_data_that_must_not_be_fragmented_goes_whole_or_the_client_is_told():
    relay = Relay(ipv6=True)
    client = Client(relay)
    assert error_of(_allocate(client, DONT_FRAGMENT(True), ADDITIONAL_ADDRESS_FAMILY(IPV6))) == 0
    for peer, kind, code in ((PEER, 3, 4), (PEER_V6, 2, 0)):
        client.indicate(Method.SEND, XOR_PEER_ADDRESS(peer), DATA(b"x"), DONT_FRAGMENT(True))  # no permission yet
        client.permit(peer)
        socket = client.allocation.sockets[peer.is_ipv6]
        client.indicate(Method.SEND, XOR_PEER_ADDRESS(peer), DATA(b"plain"))
        client.indicate(Method.SEND, XOR_PEER_ADDRESS(peer), DATA(b"whole"), DONT_FRAGMENT(True))
        assert (socket.sent, socket.whole) == ([(peer, b"plain")], [(peer, b"whole")])
        assert not client.leg.messages
        client.indicate(Method.SEND, XOR_PEER_ADDRESS(peer), DATA(bytes(1401)), DONT_FRAGMENT(True))
        told = client.leg.messages.pop()
        assert (told.method, told.get(XOR_PEER_ADDRESS), told.get(DATA)) == (Method.DATA, peer, None)
        assert told.get(ICMP) == (kind, code, (1400).to_bytes(4, "big"))
    assert relay.counters.drops[Drop.TOO_LONG] == 2
    assert relay.counters.packets_to_peers == 4


def test_icmp_errors_are_told_where_the_peer_has_a_permission():
    relay = Relay(ipv6=True)
    client = Client(relay)
    assert error_of(_allocate(client, ADDITIONAL_ADDRESS_FAMILY(IPV6))) == 0
    allocation = client.allocation
    allocation.receive_icmp_error(PEER, 3, 3, 0)
    assert not client.leg.messages
    for peer, told, untold in ((PEER, ((3, 3), (3, 13), (11, 0)), ((4, 0), (12, 0))), (PEER_V6, ((1, 4),), ((4, 1),))):
        client.permit(peer)
        for icmp_type, code in told:
            allocation.receive_icmp_error(peer, icmp_type, code, 77)
            indication = client.leg.messages.pop()
            assert (indication.method, indication.get(XOR_PEER_ADDRESS)) == (Method.DATA, peer)
            assert (indication.get(ICMP), indication.get(DATA)) == ((icmp_type, code, bytes(4)), None)
        for icmp_type, code in untold:
            allocation.receive_icmp_error(peer, icmp_type, code, 0)
            assert not client.leg.messages
        allocation.receive_icmp_error(peer, *((2, 0) if peer.is_ipv6 else (3, 4)), 1300)
        assert client.leg.messages.pop().get(ICMP).data == (1300).to_bytes(4, "big")


def test_an_even_port_and_the_one_above_it():
    relay = Relay()
    first, second = Client(relay, 4000), Client(relay, 4001)
    answer = _allocate(first, EVEN_PORT(True))
    port = answer.get(XOR_RELAYED_ADDRESS).port
    assert port % 2 == 0
    token = answer.get(RESERVATION_TOKEN)
    assert second.allocate(RESERVATION_TOKEN(token)).port == port + 1
    assert error_of(_allocate(Client(relay, 4002), RESERVATION_TOKEN(token))) == 508


def test_an_even_port_without_the_next():
    answer = _allocate(Client(Relay()), EVEN_PORT(False))
    assert answer.get(XOR_RELAYED_ADDRESS).port % 2 == 0
    assert answer.get(RESERVATION_TOKEN) is None


def test_a_reservation_ends_after_half_a_minute():
    relay = Relay()
    token = _allocate(Client(relay), EVEN_PORT(True)).get(RESERVATION_TOKEN)
    relay.advance(31)
    assert error_of(_allocate(Client(relay, 4001), RESERVATION_TOKEN(token))) == 508


def test_ipv6_on_request():
    client = Client(Relay(ipv6=True))
    assert client.allocate(REQUESTED_ADDRESS_FAMILY(IPV6)).host == RELAY_HOST_V6
    assert error_of(client.permit(PEER)) == 443
    assert error_of(client.permit(PEER_V6)) == 0
    assert error_of(client.refresh(REQUESTED_ADDRESS_FAMILY(IPV4))) == 443
    assert error_of(client.refresh(REQUESTED_ADDRESS_FAMILY(IPV6))) == 0


def test_both_families_in_one_allocation_and_one_given_up():
    relay = Relay(ipv6=True)
    client = Client(relay)
    answer = _allocate(client, ADDITIONAL_ADDRESS_FAMILY(IPV6))
    assert {address.is_ipv6 for address in answer.values(XOR_RELAYED_ADDRESS)} == {False, True}
    assert answer.get(ADDRESS_ERROR_CODE) is None
    assert error_of(client.permit(PEER)) == error_of(client.permit(PEER_V6)) == 0
    assert client.refresh(REQUESTED_ADDRESS_FAMILY(IPV6), LIFETIME(0)).get(LIFETIME) == 0
    assert list(client.allocation.permissions) == [PEER.host]
    assert error_of(client.permit(PEER_V6)) == 443
    assert sum(socket.is_closed for socket in relay.sockets.values()) == 1
    client.refresh(REQUESTED_ADDRESS_FAMILY(IPV4), LIFETIME(0))
    assert len(relay.server.table) == 0


def test_an_additional_family_that_there_is_not_is_an_error_beside_the_success():
    client = Client(Relay())
    answer = _allocate(client, ADDITIONAL_ADDRESS_FAMILY(IPV6))
    assert error_of(answer) == 0
    assert answer.get(ADDRESS_ERROR_CODE)[:2] == (IPV6, 440)


def test_two_even_ports():
    answer = _allocate(Client(Relay(ipv6=True)), ADDITIONAL_ADDRESS_FAMILY(IPV6), EVEN_PORT(False))
    assert [address.port % 2 for address in answer.values(XOR_RELAYED_ADDRESS)] == [0, 0]


def test_of_two_families_either_is_enough():
    relay = Relay(ipv6=True, first_port=50_000, last_port=50_001)
    for port in (1, 2):
        Client(relay, port).allocate()
    answer = _allocate(Client(relay, 3), ADDITIONAL_ADDRESS_FAMILY(IPV6))
    assert [address.is_ipv6 for address in answer.values(XOR_RELAYED_ADDRESS)] == [True]
    assert answer.get(ADDRESS_ERROR_CODE)[:2] == (IPV4, 508)
    _allocate(Client(relay, 4), ADDITIONAL_ADDRESS_FAMILY(IPV6))
    assert error_of(_allocate(Client(relay, 5), ADDITIONAL_ADDRESS_FAMILY(IPV6))) == 508


def test_quotas():
    relay = Relay(quotas=QuotaLimits(total=4, per_user=2, per_address=3))
    for port in (1, 2):
        Client(relay, port).allocate()
    assert error_of(_allocate(Client(relay, 3))) == 486
    Client(relay, 4, username="bob").allocate()
    assert error_of(_allocate(Client(relay, 5, username="bob"))) == 486
    Client(relay, 6, username="bob", host="203.0.113.8").allocate()
    assert error_of(_allocate(Client(relay, 7, username="bob", host="203.0.113.9"))) == 508
    Client(relay, 1).release()
    Client(relay, 8).allocate()


def test_the_quota_is_of_ports():
    relay = Relay(quotas=QuotaLimits(total=100, per_user=3, per_address=100), ipv6=True)
    client = Client(relay, 1)
    _allocate(client, ADDITIONAL_ADDRESS_FAMILY(IPV6))
    assert error_of(_allocate(Client(relay, 2), ADDITIONAL_ADDRESS_FAMILY(IPV6))) == 486
    assert error_of(_allocate(Client(relay, 2), EVEN_PORT(True))) == 486
    Client(relay, 2).allocate()
    assert error_of(_allocate(Client(relay, 3))) == 486
    client.refresh(REQUESTED_ADDRESS_FAMILY(IPV6), LIFETIME(0))
    Client(relay, 3).allocate()
    for port in (1, 2, 3):
        Client(relay, port).release()
    assert not relay.server._allocate._quotas._by_user


def test_reserved_ports_count_until_they_are_used_or_free_again():
    relay = Relay(quotas=QuotaLimits(total=100, per_user=4, per_address=100))
    client = Client(relay, 1)
    token = _allocate(client, EVEN_PORT(True)).get(RESERVATION_TOKEN)
    client.release()
    _allocate(client, EVEN_PORT(True))
    client.release()
    _allocate(client, EVEN_PORT(True))
    client.release()
    assert error_of(_allocate(client, EVEN_PORT(True))) == 486
    client.allocate(RESERVATION_TOKEN(token))
    client.release()
    relay.advance(31)
    client.allocate()
    assert relay.server._allocate._quotas._by_user == {"alice": 1}


def test_a_site_with_many_ipv6_addresses_is_one_client_address():
    relay = Relay(quotas=QuotaLimits(total=100, per_user=100, per_address=2))
    for host in ("2620:fe:1:2::1", "2620:fe:1:2::2"):
        Client(relay, 1, host=host).allocate()
    assert error_of(_allocate(Client(relay, 1, host="2620:fe:1:2::3"))) == 486
    Client(relay, 1, host="2620:fe:1:3::1").allocate()


def test_a_full_port_range():
    relay = Relay(first_port=50_000, last_port=50_001)
    for port in (1, 2):
        Client(relay, port).allocate()
    assert error_of(_allocate(Client(relay, 3))) == 508


def test_a_draining_relay_keeps_what_it_has():
    relay = Relay()
    client = Client(relay)
    client.allocate()
    relay.server.stop_allocating()
    assert error_of(_allocate(Client(relay, 4001))) == 508
    assert error_of(client.refresh()) == 0


def test_closing_ends_everything():
    relay = Relay()
    _allocate(Client(relay), EVEN_PORT(True))
    Client(relay, 4001).allocate()
    relay.server.close(relay.now)
    assert all(socket.is_closed for socket in relay.sockets.values())
    assert relay.observer.ended == [EndReason.SHUTDOWN] * 2


def test_a_lost_connection_ends_the_allocation():
    relay = Relay()
    client = Client(relay)
    client.allocate()
    relay.server.disconnect(client.five_tuple, relay.now)
    relay.server.disconnect(client.five_tuple, relay.now)
    assert relay.observer.ended == [EndReason.DISCONNECTED]
