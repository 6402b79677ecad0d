"""Signalling: messages survive the wire, and any bytes are a message, nothing, or DecodeError."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p.address import TransportAddress
from p2p.errors import DecodeError, IntegrityError
from p2p.proto.signalling import messages as m
from p2p.proto.signalling import relay_report

peers = st.from_regex(r"[a-z2-7]{52}", fullmatch=True)
services = st.from_regex(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?", fullmatch=True)
ids = st.integers(0, 2**53 - 1)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
credentials = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=60)
keys = st.binary(min_size=32, max_size=32)
bodies = st.binary(min_size=1, max_size=m.BODY_MAX_BYTES)
addresses = st.builds(TransportAddress, st.ip_addresses().map(str), st.integers(0, 65535))
turn_servers = st.builds(
    m.TurnServer,
    url=texts,
    username=credentials,
    password=credentials,
    expires_wall=st.integers(0, 2**40),
    realm=st.none() | credentials,
    nonce=st.none() | credentials,
    region=texts,
)
client_messages = st.one_of(
    st.builds(
        m.Login,
        version=st.integers(1, 100),
        peer=peers,
        signature=st.binary(min_size=64, max_size=64),
        host=texts,
        token=st.none() | texts,
        agent=texts,
    ),
    st.builds(m.Renew, id=ids),
    st.builds(m.Publish, id=ids, service=services, bell=st.none() | keys),
    st.builds(m.Unpublish, id=ids, service=services),
    st.builds(m.Resolve, id=ids, peer=peers, service=services),
    st.builds(m.SignalRequest, to=peers, body=bodies, id=st.none() | ids, knock=st.none() | keys),
    st.builds(m.Bye, code=texts, detail=texts),
)
server_messages = st.one_of(
    st.builds(m.Challenge, version=st.integers(1, 100), nonce=st.binary(min_size=32, max_size=32)),
    st.builds(
        m.Welcome,
        observed_address=addresses,
        now_wall=st.floats(0, 2**40),
        stun=st.lists(addresses, max_size=16).map(tuple),
        turn=st.lists(turn_servers, max_size=16).map(tuple),
        region=texts,
        id=st.none() | ids,
    ),
    st.builds(m.Resolved, id=ids, online=st.booleans(), published=st.booleans()),
    st.builds(m.SignalDelivery, sender=peers, body=bodies),
    st.builds(m.KnockDelivery, body=bodies, nonce=keys, source=addresses),
    st.builds(m.Done, id=ids),
    st.builds(m.Error, code=texts, detail=texts, id=st.none() | ids, to=st.none() | peers),
    st.builds(m.Bye, code=texts, detail=texts),
    st.builds(m.Draining, within_s=st.floats(0, 86_400)),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)


@given(client_messages)
def test_client_messages_survive(message: Any) -> None:
    assert m.decode_client_untrusted(m.encode(message)) == message


@given(server_messages)
def test_server_messages_survive(message: Any) -> None:
    assert m.decode_server_untrusted(m.encode(message)) == message


@given(client_messages, st.dictionaries(st.from_regex(r"x_[a-z]{1,8}", fullmatch=True), json_values, max_size=3))
def test_unknown_fields_are_ignored(message: Any, extra: dict[str, Any]) -> None:
    data = json.dumps({**json.loads(m.encode(message)), **extra}).encode()
    if len(data) <= m.MESSAGE_MAX_BYTES:
        assert m.decode_client_untrusted(data) == message


@given(st.from_regex(r"x_[a-z]{0,20}", fullmatch=True), st.dictionaries(st.text(max_size=10), json_values, max_size=3))
def test_unknown_types_are_ignored(kind: str, fields: dict[str, Any]) -> None:
    data = json.dumps({**fields, "type": kind}).encode()
    assert m.decode_client_untrusted(data) is None
    assert m.decode_server_untrusted(data) is None


@given(st.binary(max_size=500) | json_values.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_a_message_or_nothing_or_a_decode_error(data: bytes) -> None:
    for decode in (m.decode_client_untrusted, m.decode_server_untrusted):
        with contextlib.suppress(DecodeError):
            decode(data)


@given(client_messages | server_messages, st.data())
def test_a_damaged_message_does_no_harm(message: Any, data: st.DataObject) -> None:
    damaged = bytearray(m.encode(message))
    for _ in range(data.draw(st.integers(1, 5))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    for decode in (m.decode_client_untrusted, m.decode_server_untrusted):
        with contextlib.suppress(DecodeError):
            decode(bytes(damaged))


@pytest.mark.parametrize("field", ["username", "password", "realm", "nonce"])
def test_relay_credentials_are_no_lines_of_another_protocol(field: str) -> None:
    credentials = {"username": "u", "password": "p", "realm": "r", "nonce": "n", field: "a\r\nFLUSHALL\r\n"}
    turn = {"url": "turn:10.0.0.1:6379?transport=tcp", "expires_wall": 1, **credentials}
    message = {"type": "welcome", "observed_address": ["192.0.2.1", 1], "now_wall": 1.0, "turn": [turn]}
    with pytest.raises(DecodeError):
        m.decode_server_untrusted(json.dumps(message).encode())


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_are_a_relays_report_or_refused(data: bytes, is_sealed: bool) -> None:
    sealed = relay_report._mac(data, "secret") + data if is_sealed else data
    with contextlib.suppress(DecodeError, IntegrityError):
        relay_report.open_untrusted(sealed, "secret", 0.0)
