import json

import pytest

from p2p.address import TransportAddress
from p2p.errors import DecodeError, LocalProtocolError
from p2p.proto.signalling import messages as m
from p2p.proto.signalling.names import is_service_name

PEER = "a" * 52


def test_the_wire_form_is_the_documented_one() -> None:
    assert json.loads(m.encode(m.Resolve(id=7, peer=PEER, service="web"))) == {
        "type": "resolve",
        "id": 7,
        "peer": PEER,
        "service": "web",
    }
    assert json.loads(m.encode(m.SignalDelivery(sender=PEER, body=b"\x00\xff"))) == {
        "type": "signal",
        "from": PEER,
        "body": "AP8=",
    }
    assert json.loads(m.encode(m.Challenge(version=1, nonce=bytes(32))))["version"] == 1


def test_addresses_come_back_as_addresses() -> None:
    welcome = m.decode_server_untrusted(
        m.encode(m.Welcome(observed_address=TransportAddress("192.0.2.1", 5), now_wall=1.5))
    )
    assert isinstance(welcome, m.Welcome)
    assert isinstance(welcome.observed_address, TransportAddress)


@pytest.mark.parametrize("address", [["rv.example.com", 1], ["192.0.2.1", 65536], ["192.0.2.1", -1], ["192.0.2.1"]])
def test_what_is_no_address_is_malformed(address: list[object]) -> None:
    data = json.dumps({"type": "welcome", "observed_address": address, "now_wall": 1}).encode()
    with pytest.raises(DecodeError):
        m.decode_server_untrusted(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b'"login"',
        b"{}",
        b'{"type": 1}',
        b'{"type": "login"}',
        b'{"type": "renew", "id": -1}',
        b'{"type": "renew", "id": 1e30}',
        b'{"type": "publish", "id": 1, "service": "Web"}',
        b'{"type": "signal", "to": "short", "body": "AAAA"}',
        b'{"type": "signal", "to": "' + PEER.encode() + b'", "body": ""}',
        b'{"type": "signal", "to": "' + PEER.encode() + b'", "body": "not base64"}',
        b"\xff\xfe",
        b'{"type": "login"' + b" " * m.MESSAGE_MAX_BYTES + b"}",
        b'{"type": "renew", "id": 1, "x": ' + b"[" * 8000,
    ],
)
def test_malformed_messages_are_decode_errors(data: bytes) -> None:
    with pytest.raises(DecodeError):
        m.decode_client_untrusted(data)


def test_a_message_for_the_other_side_is_an_unknown_type() -> None:
    assert m.decode_client_untrusted(m.encode(m.Done(id=1))) is None
    assert m.decode_server_untrusted(m.encode(m.Renew(id=1))) is None


def test_the_largest_body_fits_a_message() -> None:
    data = m.encode(m.SignalRequest(to=PEER, body=bytes(m.BODY_MAX_BYTES), id=2**53 - 1))
    assert len(data) <= m.MESSAGE_MAX_BYTES - 512


def test_a_message_that_is_too_long_is_our_own_mistake() -> None:
    with pytest.raises(LocalProtocolError):
        m.encode(m.Error(code="x" * m.MESSAGE_MAX_BYTES))


def test_secrets_do_not_show_in_logs() -> None:
    login = m.Login(version=1, peer=PEER, signature=bytes(64), host="rv", token="hunter2")
    turn = m.TurnServer(url="turn:x", username="u", password="hunter2", expires_wall=1)
    assert "hunter2" not in repr(login)
    assert "hunter2" not in repr(turn)


def test_the_login_transcript_separates_its_parts() -> None:
    nonce, key = bytes(32), bytes(32)
    assert m.login_transcript(nonce, key, "a") != m.login_transcript(nonce, key, "b")
    assert m.login_transcript(nonce, key, "a").startswith(b"p2p rendezvous login v1\0")


@pytest.mark.parametrize("name", ["a", "web", "a-b_c.d", "0" * 63])
def test_service_names(name: str) -> None:
    assert is_service_name(name)


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a b", "a\n", "ä", "0" * 64, "a/b"])
def test_what_is_no_service_name(name: str) -> None:
    assert not is_service_name(name)
