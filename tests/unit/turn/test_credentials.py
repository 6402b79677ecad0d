import base64

import pytest

from p2p.proto.stun.attributes import (
    MD5_ALGORITHM,
    NONCE,
    PASSWORD_ALGORITHM,
    PASSWORD_ALGORITHMS,
    REALM,
    SHA256_ALGORITHM,
    USERHASH,
    USERNAME,
    PasswordAlgorithm,
)
from p2p.proto.stun.integrity import IntegrityAlgorithm, long_term_key, user_hash
from p2p.proto.stun.message import Message, MessageClass, Method
from p2p.proto.turn.credentials import LongTermCredentials, security_features

REQUEST = Message(MessageClass.REQUEST, Method.ALLOCATE, b"abcdefghijkl")
KEY = long_term_key("alice", "example.org", "secret")


def features_nonce(bits, rest="rest"):
    return "obMatJos2" + base64.b64encode(bits.to_bytes(3, "big")).decode() + rest


ALGORITHMS_NONCE = features_nonce(1 << 23)


def challenge(code=401, nonce="nonce", realm="example.org", *attributes):
    given = (NONCE(nonce),) if nonce else ()
    given += (REALM(realm),) if realm else ()
    return REQUEST.error_response(code, "", *given, *attributes)


@pytest.fixture
def credentials():
    return LongTermCredentials("alice", "secret")


def test_nothing_is_sent_before_a_challenge(credentials):
    assert credentials.attributes() == ()
    assert credentials.key is None


def test_challenge_is_answered(credentials):
    assert credentials.accept_challenge(challenge(), ())
    assert credentials.attributes() == (USERNAME("alice"), REALM("example.org"), NONCE("nonce"))
    assert credentials.key == KEY
    assert credentials.integrity is IntegrityAlgorithm.SHA1


def test_nonce_and_realm_given_beforehand_are_used_at_once():
    credentials = LongTermCredentials("alice", "secret", "example.org", "early")
    assert credentials.key == KEY
    assert NONCE("early") in credentials.attributes()


@pytest.mark.parametrize(
    "response",
    [
        challenge(403),
        challenge(nonce=None),
        challenge(realm=None),
        REQUEST.success_response(NONCE("x"), REALM("y")),
        challenge(401, ALGORITHMS_NONCE),
        challenge(401, ALGORITHMS_NONCE, "example.org", PASSWORD_ALGORITHMS((PasswordAlgorithm(77),))),
    ],
)
def test_what_is_no_usable_challenge_is_not_accepted(credentials, response):
    assert not credentials.accept_challenge(response, ())
    assert credentials.attributes() == ()


def test_stale_nonce_is_replaced_and_the_realm_kept(credentials):
    credentials.accept_challenge(challenge(), ())
    assert credentials.accept_challenge(challenge(438, "fresh", None), credentials.attributes())
    assert credentials.attributes()[1:] == (REALM("example.org"), NONCE("fresh"))


def test_refused_credentials_are_not_offered_again(credentials):
    credentials.accept_challenge(challenge(), ())
    assert not credentials.accept_challenge(challenge(401, "another"), credentials.attributes())


def test_request_that_crossed_a_new_nonce_is_repeated(credentials):
    credentials.accept_challenge(challenge(), ())
    before = credentials.attributes()
    credentials.accept_challenge(challenge(438, "fresh"), before)
    assert credentials.accept_challenge(challenge(401, "fresher"), before)


def test_nonce_given_beforehand_may_be_refused_once():
    credentials = LongTermCredentials("alice", "secret", "example.org", "early")
    assert credentials.accept_challenge(challenge(401, "fresh"), credentials.attributes())
    assert not credentials.accept_challenge(challenge(401, "fresher"), credentials.attributes())


def test_best_algorithm_in_the_servers_order(credentials):
    offered = (PasswordAlgorithm(77), SHA256_ALGORITHM, MD5_ALGORITHM)
    response = challenge(401, ALGORITHMS_NONCE, "example.org", PASSWORD_ALGORITHMS(offered))
    assert credentials.accept_challenge(response, ())
    assert credentials.attributes()[3:] == (PASSWORD_ALGORITHMS(offered), PASSWORD_ALGORITHM(SHA256_ALGORITHM))
    assert credentials.key == long_term_key("alice", "example.org", "secret", SHA256_ALGORITHM)
    assert credentials.integrity is IntegrityAlgorithm.SHA256


@pytest.mark.parametrize("bits", [1 << 23, 1])
def test_bits_counted_from_either_end_allow_algorithms(credentials, bits):
    response = challenge(401, features_nonce(bits), "example.org", PASSWORD_ALGORITHMS((SHA256_ALGORITHM,)))
    assert credentials.accept_challenge(response, ())
    assert credentials.integrity is IntegrityAlgorithm.SHA256


def test_algorithms_without_their_bit_are_not_used(credentials):
    response = challenge(401, "nonce", "example.org", PASSWORD_ALGORITHMS((SHA256_ALGORITHM,)))
    assert credentials.accept_challenge(response, ())
    assert credentials.integrity is IntegrityAlgorithm.SHA1


def test_anonymity(credentials):
    credentials.accept_challenge(challenge(401, features_nonce(1 << 22)), ())
    assert credentials.attributes()[0] == USERHASH(user_hash("alice", "example.org"))


@pytest.mark.parametrize(
    ("nonce", "features"),
    [
        ("plain", 0),
        ("obMatJos2", 0),
        ("obMatJos2AA", 0),
        ("obMatJos2A?AA", 0),
        ("obMatJos2gAAAx", 1 << 23),
        ("obMatJos2wAAA", 3 << 22),
    ],
)
def test_security_features(nonce, features):
    assert security_features(nonce) == features
