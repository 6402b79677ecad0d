"""Signed tokens of visitors."""

from __future__ import annotations

import base64
import json
from typing import Any

import jwt
import pytest

from p2p.defaults import ISSUER_CLOCK_SKEW_S as CLOCK_SKEW_S
from p2p.errors import ConfigError, IntegrityError
from p2p.proto.publication import Issuer, Jwk
from p2p.tokens import TokenCheck, UnknownKeyError
from tests.support.tokens import SigningKey

NOW = 1_800_000_000.0
KEY = SigningKey("ES256", "one")
LATER = int(NOW) + 600


def check(token: str, *keys: SigningKey, **fields: Any) -> None:
    TokenCheck([Issuer(keys=tuple(key.public for key in keys or (KEY,)), **fields)]).check(token, NOW)


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
@pytest.mark.parametrize("kid", ["", "a"])
def test_each_algorithm(algorithm, kid):
    key, other = SigningKey(algorithm, kid), SigningKey(algorithm, kid)
    check(key.token(exp=LATER), other, key)
    with pytest.raises(IntegrityError, match="not good"):
        check(other.token(exp=LATER), key)


@pytest.mark.parametrize(
    ("claims", "fields"),
    [
        ({"exp": NOW - CLOCK_SKEW_S + 1}, {}),
        ({"exp": LATER, "nbf": NOW + CLOCK_SKEW_S - 1}, {}),
        ({"exp": LATER, "aud": "blog"}, {"audience": ("shop", "blog")}),
        ({"exp": LATER, "aud": ["blog", "x"]}, {"audience": ("blog",)}),
        ({"exp": LATER, "iss": "me"}, {"issuer": "me"}),
        ({"exp": LATER, "iss": "anybody"}, {}),
    ],
)
def test_good_ones(claims, fields):
    check(KEY.token(**claims), **fields)


@pytest.mark.parametrize(
    ("claims", "fields"),
    [
        ({}, {}),
        ({"exp": NOW - CLOCK_SKEW_S}, {}),
        ({"exp": float("nan")}, {}),
        ({"exp": "soon"}, {}),
        ({"exp": [1]}, {}),
        ({"exp": LATER, "nbf": NOW + CLOCK_SKEW_S + 1}, {}),
        ({"exp": LATER, "aud": "blog"}, {}),
        ({"exp": LATER, "aud": "blog"}, {"audience": ("shop",)}),
        ({"exp": LATER}, {"audience": ("shop",)}),
        ({"exp": LATER, "iss": "you"}, {"issuer": "me"}),
        ({"exp": LATER}, {"issuer": "me"}),
    ],
)
def test_others_are_not_good(claims, fields):
    with pytest.raises(IntegrityError):
        check(KEY.token(**claims), **fields)


def test_the_key_says_the_algorithm_and_not_the_token():
    head = {"alg": "none", "kid": "one"}
    body = {"exp": LATER}
    unsigned = ".".join(
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in (head, body)
    )
    with pytest.raises(UnknownKeyError):
        check(f"{unsigned}.")
    shared = jwt.encode(body, "x" * 32, algorithm="HS256", headers={"kid": "one"})
    with pytest.raises(UnknownKeyError):
        check(shared)


def test_a_key_that_is_not_known_is_told_apart():
    with pytest.raises(UnknownKeyError):
        check(SigningKey("ES256", "two").token(exp=LATER))


@pytest.mark.parametrize(
    "token",
    ["", "a.b.c", "x" * 9000, "é.é.é", base64.urlsafe_b64encode(b"[" * 5000).decode() + ".e30.e30", "\udcff"],
    ids=["empty", "short", "long", "accents", "deep", "no text"],
)
def test_nonsense(token):
    with pytest.raises(IntegrityError):
        check(token)


def test_keys_for_other_algorithms_are_left_out():
    other = [
        Jwk(kty="RSA", alg="RSA-OAEP", n="AQAB", e="AQAB"),
        Jwk(kty="EC", alg="ECDH-ES", crv="P-256", x="x", y="y"),
    ]
    TokenCheck([Issuer(keys=(*other, KEY.public))]).check(KEY.token(exp=LATER), NOW)


def test_what_is_no_key():
    with pytest.raises(ConfigError):
        TokenCheck([Issuer(keys=(Jwk(kty="EC", crv="P-256", x="?", y="?"),))])
