import json
from pathlib import Path

import pytest

from p2p.address import TransportAddress
from p2p.errors import IntegrityError
from p2p.proto.stun.attributes import (
    FINGERPRINT,
    ICE_CONTROLLED,
    MD5_ALGORITHM,
    NONCE,
    PASSWORD_ALGORITHM,
    PRIORITY,
    REALM,
    SOFTWARE,
    USERHASH,
    USERNAME,
    XOR_MAPPED_ADDRESS,
    PasswordAlgorithm,
)
from p2p.proto.stun.integrity import IntegrityAlgorithm, long_term_key, short_term_key, user_hash, verify
from p2p.proto.stun.message import Message, MessageClass, Method, decode_untrusted, encode

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "stun.json").read_text())


def load(name: str) -> Message:
    return decode_untrusted(bytes.fromhex(VECTORS[name]["hex"]))


def key_of(name: str) -> bytes:
    vector = VECTORS[name]
    if "realm" in vector:
        algorithm = PasswordAlgorithm(vector.get("algorithm", MD5_ALGORITHM.number))
        return long_term_key(vector["username"], vector["realm"], vector["password"], algorithm)
    return short_term_key(vector["password"])


@pytest.mark.parametrize("name", VECTORS)
def test_integrity_of_the_vector_verifies(name):
    verify(load(name), key_of(name))


@pytest.mark.parametrize("name", VECTORS)
def test_wrong_key_is_refused(name):
    with pytest.raises(IntegrityError):
        verify(load(name), b"another key")


def test_request_with_short_term_credentials():
    message = load("request_short_term")
    assert message.message_class is MessageClass.REQUEST
    assert message.method == Method.BINDING
    assert message.transaction_id.hex() == "b7e7a701bc34d686fa87dfae"
    assert message.get(SOFTWARE) == "STUN test client"
    assert message.get(PRIORITY) == 0x6E0001FF
    assert message.get(ICE_CONTROLLED) == 0x932FF9B151263B36
    assert message.get(USERNAME) == "evtj:h6vY"
    assert message.get(FINGERPRINT) == 0xE57A3BCF


@pytest.mark.parametrize(
    ("name", "address"),
    [("response_ipv4", ("192.0.2.1", 32853)), ("response_ipv6", ("2001:db8:1234:5678:11:2233:4455:6677", 32853))],
)
def test_response(name, address):
    message = load(name)
    assert message.message_class is MessageClass.SUCCESS
    assert message.get(XOR_MAPPED_ADDRESS) == TransportAddress(*address)
    assert message.get(SOFTWARE) == "test vector"


def test_request_with_long_term_credentials():
    message = load("request_long_term")
    assert message.get(USERNAME) == "マトリックス"
    assert message.get(NONCE) == "f//499k954d6OL34oL9FSTvy64sA"
    assert message.get(REALM) == "example.org"


def test_request_with_sha256_and_a_hidden_user():
    message = load("request_sha256")
    assert message.get(USERHASH) == user_hash("マトリックス", "example.org")
    assert message.get(PASSWORD_ALGORITHM) == PasswordAlgorithm(2)
    verify(message, key_of("request_sha256"), IntegrityAlgorithm.SHA256)


@pytest.mark.parametrize(
    ("name", "integrity"),
    [("request_long_term", IntegrityAlgorithm.SHA1), ("request_sha256", IntegrityAlgorithm.SHA256)],
)
def test_encoding_gives_the_bytes_of_the_vector(name, integrity):
    message = load(name)
    ours = Message(message.message_class, message.method, message.transaction_id, message.attributes[:-1])
    assert encode(ours, integrity_key=key_of(name), integrity=integrity) == message.raw
