"""Allocations that move with their client: RFC 8016."""

import pytest

from p2p.proto.stun.attributes import (
    CHANNEL_NUMBER,
    LIFETIME,
    MOBILITY_TICKET,
    NONCE,
    REQUESTED_TRANSPORT,
    XOR_PEER_ADDRESS,
    XOR_RELAYED_ADDRESS,
)
from p2p.proto.stun.message import Method
from relay.core.credentials import rest_password
from relay.core.five_tuple import ClientTransport
from relay.core.quotas import QuotaLimits
from relay.core.table import EndReason
from tests.unit.relay.support import PEER, SECRET, WALL_AT_START, Client, Relay, error_of

WANT_UDP = REQUESTED_TRANSPORT(17)
CHANNEL = 0x4000


def _mobile(relay: Relay, port: int = 4000, **options) -> tuple[Client, bytes]:
    client = Client(relay, port, **options)
    answer = client.request(Method.ALLOCATE, WANT_UDP, MOBILITY_TICKET(b""))
    assert error_of(answer) == 0
    client.relayed = answer.get(XOR_RELAYED_ADDRESS)
    return client, answer.get(MOBILITY_TICKET)


@pytest.mark.parametrize("transport", [ClientTransport.UDP, ClientTransport.TLS])
@pytest.mark.parametrize("host", ["203.0.113.7", "203.0.113.99", "2620:fe::7"])
def test_an_allocation_moves_with_its_permissions_and_channels(transport, host):
    relay = Relay()
    old, ticket = _mobile(relay)
    old.request(Method.CHANNEL_BIND, CHANNEL_NUMBER(CHANNEL), XOR_PEER_ADDRESS(PEER))
    allocation = old.allocation
    new = Client(relay, 5000, host=host, transport=transport)
    answer = new.refresh(MOBILITY_TICKET(ticket))
    assert error_of(answer) == 0
    assert new.allocation is allocation
    assert relay.server.table.find(old.five_tuple) is None
    assert len(relay.server.table) == len(list(relay.server.table)) == 1
    allocation.receive_from_peer(PEER, (b"data",))
    assert new.leg.channel_data == [(CHANNEL, b"data")]
    assert not old.leg.channel_data
    next_ticket = answer.get(MOBILITY_TICKET)
    assert next_ticket not in (None, ticket)
    back = Client(relay, 6000)
    assert error_of(back.refresh(MOBILITY_TICKET(ticket))) == 400  # it was good for once
    assert error_of(back.refresh(MOBILITY_TICKET(next_ticket))) == 0
    assert error_of(back.release()) == 0
    assert not relay.server.table._by_ticket


def test_without_a_ticket_nothing_moves():
    relay = Relay()
    client = Client(relay)
    answer = client.request(Method.ALLOCATE, WANT_UDP)
    assert answer.get(MOBILITY_TICKET) is None
    assert client.refresh(MOBILITY_TICKET(b"")).get(MOBILITY_TICKET) is None
    assert error_of(Client(relay, 5000).refresh()) == 437
    assert error_of(Client(relay, 5000).refresh(MOBILITY_TICKET(b""))) == 437
    assert error_of(Client(relay, 5000).request(Method.ALLOCATE, WANT_UDP, MOBILITY_TICKET(bytes(20)))) == 400


def test_a_ticket_alone_is_not_enough():
    relay = Relay()
    old, ticket = _mobile(relay)
    assert error_of(Client(relay, 5000, username="bob").refresh(MOBILITY_TICKET(ticket))) == 441
    assert error_of(Client(relay, 5000, password="wrong").refresh(MOBILITY_TICKET(ticket))) == 401
    assert Client(relay, 5000).plain(Method.REFRESH, MOBILITY_TICKET(ticket)).get(NONCE) is not None
    assert error_of(old.refresh()) == 0


def test_the_nonce_of_the_old_address_is_stale_at_the_new_one():
    relay = Relay()
    old, ticket = _mobile(relay)
    new = Client(relay, 5000)
    new.nonce = old.nonce
    answer = new.refresh(MOBILITY_TICKET(ticket))
    assert error_of(answer) == 438
    new.nonce = answer.get(NONCE)
    assert error_of(new.refresh(MOBILITY_TICKET(ticket))) == 0


def test_a_repeated_request_gets_a_ticket_that_is_good():
    """The first answer was lost: the client asks again with the ticket that it knows."""
    relay = Relay()
    _, ticket = _mobile(relay)
    new = Client(relay, 5000)
    request = new.encoded(Method.REFRESH, MOBILITY_TICKET(ticket))
    first, second = new.raw(request), new.raw(request)
    assert error_of(first) == error_of(second) == 0
    assert error_of(Client(relay, 6000).refresh(MOBILITY_TICKET(second.get(MOBILITY_TICKET)))) == 0


def test_a_lost_connection_waits_for_its_client_and_nobody_else_gets_it():
    relay = Relay()
    old, ticket = _mobile(relay, transport=ClientTransport.TLS)
    old.permit()
    allocation = old.allocation
    relay.server.disconnect(old.five_tuple, relay.now)
    assert relay.server.table.find(old.five_tuple) is None  # a NAT may give the port to somebody else
    assert len(relay.server.table) == len(list(relay.server.table)) == 1
    allocation.receive_from_peer(PEER, (b"lost",))
    relay.advance(100)
    new = Client(relay, 5000, transport=ClientTransport.TLS)
    assert error_of(new.refresh(MOBILITY_TICKET(ticket))) == 0
    relay.advance(500)
    assert new.allocation is allocation


def test_a_client_that_does_not_come_back_is_forgotten():
    relay = Relay()
    old, ticket = _mobile(relay, transport=ClientTransport.TCP)
    relay.server.disconnect(old.five_tuple, relay.now)
    relay.advance(121)
    assert relay.observer.ended == [EndReason.EXPIRED]
    assert error_of(Client(relay, 5000).refresh(MOBILITY_TICKET(ticket))) == 400
    assert not relay.server.table._by_ticket
    assert not relay.server.table._detached
    assert not relay.server._quotas._by_user


def test_quotas_of_addresses_move_too():
    relay = Relay(quotas=QuotaLimits(per_user=9, per_address=1))
    _, ticket = _mobile(relay)
    assert error_of(Client(relay, 4001).request(Method.ALLOCATE, WANT_UDP)) == 486
    elsewhere = Client(relay, 5000, host="203.0.113.8")
    elsewhere.refresh(MOBILITY_TICKET(ticket))
    Client(relay, 4001).allocate()
    assert error_of(Client(relay, 5001, host="203.0.113.8").request(Method.ALLOCATE, WANT_UDP)) == 486
    assert set(relay.server._rates._of_address) == {"203.0.113.7", "203.0.113.8"}
    elsewhere.refresh(LIFETIME(0))
    assert set(relay.server._rates._of_address) == {"203.0.113.7"}


def test_an_allocation_moves_after_its_credentials_have_ended():
    relay = Relay()
    name = f"{int(WALL_AT_START) + 100}:peer"
    password = rest_password(SECRET, name)
    _, ticket = _mobile(relay, username=name, password=password)
    relay.advance(200)
    new = Client(relay, 5000, username=name, password=password)
    assert error_of(new.refresh(MOBILITY_TICKET(ticket))) == 0
