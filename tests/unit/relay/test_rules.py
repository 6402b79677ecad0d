"""Other rules while the relay runs, and where clients are sent that it has no room for."""

from __future__ import annotations

import ipaddress
import json
import logging
from dataclasses import replace

import pytest

from p2p.address import TransportAddress
from p2p.proto.stun.attributes import ALTERNATE_SERVER, CHANNEL_NUMBER, REQUESTED_TRANSPORT, XOR_PEER_ADDRESS
from p2p.proto.stun.message import Method
from relay.config import LogFormat
from relay.core.credentials import CredentialStore, rest_password
from relay.core.five_tuple import ClientTransport
from relay.core.policy import PeerPolicy
from relay.core.quotas import QuotaLimits
from relay.core.rates import RateLimit, RateLimits
from relay.core.table import EndReason
from relay.log import JsonFormatter, RelayLog, set_up
from relay.usage import UserTotals
from tests.unit.relay.support import PEER, REALM_NAME, SECRET, USERS, WALL_AT_START, Client, Relay, error_of

WANT_UDP = REQUESTED_TRANSPORT(17)
CHANNEL = 0x4000
ELSEWHERE = TransportAddress("198.51.100.99", 3478)
ELSEWHERE_V6 = TransportAddress("2001:db8::99", 3478)


def _timed(relay: Relay, port: int, secret: str = SECRET, *, seconds: int = 100) -> Client:
    name = f"{int(WALL_AT_START) + seconds}:peer"
    return Client(relay, port, username=name, password=rest_password(secret, name))


def test_allocations_of_users_who_are_gone_end_and_others_go_on():
    relay = Relay()
    alice, bob, timed = Client(relay, 1), Client(relay, 2, username="bob"), _timed(relay, 3)
    for client in (alice, bob, timed):
        client.allocate()
    relay.advance(200)  # the time-limited ones have ended; their allocation lives on
    credentials = CredentialStore(REALM_NAME, static_users={"alice": USERS["alice"]}, shared_secrets=("new", SECRET))
    relay.server.apply(replace(relay.rules, credentials=credentials), relay.now)
    assert [error_of(client.refresh()) for client in (alice, bob, timed)] == [0, 401, 0]
    assert relay.observer.ended == [EndReason.DISMISSED]
    other_password = CredentialStore(REALM_NAME, static_users={"alice": "looking glass"}, shared_secrets=("new",))
    relay.server.apply(replace(relay.rules, credentials=other_password), relay.now)
    assert len(relay.server.table) == 0
    assert all(socket.is_closed for socket in relay.sockets.values())


def test_peers_that_are_denied_now_are_cut_off_in_both_directions():
    relay = Relay()
    client, neighbour = Client(relay), Client(relay, 4001)
    client.allocate()
    other = PEER._replace(host="9.9.9.9")
    there = neighbour.allocate()
    for number, peer in enumerate((PEER, other, there), CHANNEL):
        client.request(Method.CHANNEL_BIND, CHANNEL_NUMBER(number), XOR_PEER_ADDRESS(peer))
    policy = PeerPolicy(deny=[ipaddress.ip_network("8.0.0.0/8")], is_own=lambda address: False)
    relay.server.apply(replace(relay.rules, policy=policy), relay.now)
    assert set(client.allocation.permissions) == {"9.9.9.9", there.host}
    assert {channel.peer for channel in client.allocation.channels.values()} == {other, there}
    client.allocation.receive_from_peer(PEER, (b"x",))
    assert not client.leg.channel_data
    assert error_of(client.permit(PEER)) == 403
    relay.advance(1000)
    assert len(relay.server.table._expiries) == 0


def test_quotas_and_rates_hold_from_now_on():
    relay = Relay()
    client = Client(relay)
    client.allocate()
    rules = replace(relay.rules, quotas=QuotaLimits(per_user=1), rates=RateLimits(user=RateLimit(packets_per_s=1)))
    relay.server.apply(rules, relay.now)
    assert error_of(Client(relay, 4001).request(Method.ALLOCATE, WANT_UDP)) == 486
    assert error_of(client.refresh()) == 0
    assert client.allocation.rates.is_limited


@pytest.mark.parametrize(("host", "server"), [("203.0.113.7", ELSEWHERE), ("2620:fe::1", ELSEWHERE_V6)])
def test_clients_are_sent_elsewhere_when_the_relay_is_full_or_drains(host, server):
    relay = Relay(quotas=QuotaLimits(total=1))
    relay.server.apply(
        replace(relay.rules, quotas=QuotaLimits(total=1), alternate_servers=(ELSEWHERE, ELSEWHERE_V6)), relay.now
    )
    client = Client(relay)
    client.allocate()
    late = Client(relay, 4001, host=host)
    for _ in range(2):
        answer = late.request(Method.ALLOCATE, WANT_UDP)
        assert error_of(answer) == 300
        assert answer.get(ALTERNATE_SERVER) == server
        assert answer.has_integrity  # nobody else can send them away
        relay.server.stop_allocating()
    assert error_of(client.refresh()) == 0


def test_there_may_be_no_other_server_for_a_client():
    relay = Relay()
    relay.server.apply(replace(relay.rules, alternate_servers=(ELSEWHERE_V6,)), relay.now)
    relay.server.stop_allocating()
    assert error_of(Client(relay).request(Method.ALLOCATE, WANT_UDP)) == 508


def test_users_with_most_traffic_are_named_and_a_crowd_is_not_remembered():
    relay, totals = Relay(), UserTotals(remembered=2)
    alice, bob = Client(relay, 1), Client(relay, 2, username="bob")
    for client, size in ((alice, 100), (bob, 300)):
        client.allocate()
        client.permit()
        client.allocation.receive_from_peer(PEER, (bytes(size),))
    ended = bob.allocation
    bob.release()
    totals.add(ended)
    assert totals.top(relay.server.table, 1) == [("bob", 300)]
    assert totals.top(relay.server.table, 5) == [("bob", 300), ("alice", 100)]
    assert totals.top(relay.server.table, 0) == []
    for number in range(5):
        ended.quota_owner = f"user {number}"
        totals.add(ended)
    assert len(totals._ended) == 2


# --- the log ------------------------------------------------------------------------------------------------


class _Records(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.setFormatter(JsonFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


def test_events_are_objects_and_hold_no_credentials(caplog):
    handler = _Records()
    logger = logging.getLogger("relay")
    logger.addHandler(handler)
    try:
        with caplog.at_level(logging.DEBUG, "relay"):
            relay = Relay()
            relay.server._observer = RelayLog()
            relay.server.table._on_removed = relay.server._observer.allocation_ended
            client = Client(relay, transport=ClientTransport.TLS)
            client.plain(Method.ALLOCATE, WANT_UDP)
            Client(relay, 4001, password="guessed").request(Method.ALLOCATE, WANT_UDP)
            client.allocate()
            client.permit()
            client.allocation.receive_from_peer(PEER, (b"payload!",))
            client.request(Method.ALLOCATE, WANT_UDP)
            client.release()
    finally:
        logger.removeHandler(handler)
    events = [json.loads(line) for line in handler.lines]
    assert [event["event"] for event in events] == ["refused", "refused", "allocated", "refused", "ended"]
    assert events[2]["user"] == "alice"
    assert (events[4]["reason"], events[4]["packets"], events[4]["bytes"]) == ("released", 1, 8)
    assert {event["client"] for event in events} == {"203.0.113.7:4000", "203.0.113.7:4001"}
    text = "\n".join(handler.lines) + caplog.text
    secrets = (USERS["alice"], "guessed", SECRET, client.nonce, client.key.hex(), repr(client.key), "payload!")
    assert not [secret for secret in secrets if secret in text]


def test_an_exception_is_in_the_object(caplog):
    handler = _Records()
    try:
        raise ValueError("what happened")
    except ValueError:
        record = logging.getLogger("relay").makeRecord(
            "relay", logging.ERROR, "", 0, "failed", (), exc_info=__import__("sys").exc_info()
        )
    handler.emit(record)
    assert "what happened" in json.loads(handler.lines[0])["exception"]


@pytest.mark.parametrize("log_format", list(LogFormat))
def test_the_log_goes_to_standard_error(log_format, capsys, monkeypatch):
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)
    monkeypatch.setattr(logging.getLogger("asyncio"), "level", logging.getLogger("asyncio").level)
    # A command that ran in this process before may have set it.
    logging.getLogger("relay").setLevel(logging.NOTSET)
    set_up(log_format, verbose=False)
    logging.getLogger("relay").info("hello")
    assert ("{" in capsys.readouterr().err) == (log_format is LogFormat.JSON)
