"""Whom the gateway lets through."""

from __future__ import annotations

import base64

import pytest

from gateway.core import access
from gateway.core.access import AccessPolicy, Verdict
from p2p.errors import ConfigError
from p2p.proto.publication import Access

HOST = "198.51.100.7"


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


def test_without_a_policy_everybody_comes():
    assert AccessPolicy(Access()).enter(HOST, None, 0.0) is Verdict.WELCOME


@pytest.mark.parametrize(
    ("allow", "deny", "expected"),
    [
        (("198.51.100.0/24",), (), True),
        (("203.0.113.0/24",), (), False),
        ((), ("198.51.100.7",), False),
        (("198.51.100.0/24",), ("198.51.100.0/29",), False),
        (("2001:db8::/32",), (), False),
    ],
)
def test_networks(allow, deny, expected):
    assert AccessPolicy(Access(allow=allow, deny=deny)).admits_address(HOST) is expected


@pytest.mark.parametrize(
    ("header", "verdict"),
    [
        (basic("ann:se:cret"), Verdict.WELCOME),
        ("bearer token", Verdict.WELCOME),
        ("Bearer  token ", Verdict.WELCOME),
        (basic("ann:wrong"), Verdict.CREDENTIALS_NEEDED),
        ("Bearer ann:se:cret", Verdict.CREDENTIALS_NEEDED),
        (basic("token"), Verdict.CREDENTIALS_NEEDED),
        ("Basic !", Verdict.CREDENTIALS_NEEDED),
        ("Basic /w==", Verdict.CREDENTIALS_NEEDED),
        ("", Verdict.CREDENTIALS_NEEDED),
        (None, Verdict.CREDENTIALS_NEEDED),
    ],
)
def test_credentials(header, verdict):
    policy = AccessPolicy(Access(basic=("ann:se:cret",), bearer=("token",)))
    assert policy.enter(HOST, header, 0.0) is verdict


def test_a_rate_limits_guesses_too():
    policy = AccessPolicy(Access(bearer=("token",), requests_per_s=1.0))
    assert [policy.enter(HOST, "Bearer x", 0.0) for _ in range(3)] == [
        Verdict.CREDENTIALS_NEEDED,
        Verdict.CREDENTIALS_NEEDED,
        Verdict.TOO_MANY,
    ]
    assert policy.enter("198.51.100.8", "Bearer token", 0.0) is Verdict.WELCOME
    assert policy.enter(HOST, "Bearer token", 1.0) is Verdict.WELCOME


def test_so_many_at_a_time():
    policy = AccessPolicy(Access(connections=2))
    assert [policy.enter(HOST, None, 0.0) for _ in range(3)] == [Verdict.WELCOME, Verdict.WELCOME, Verdict.TOO_MANY]
    policy.leave(HOST)
    assert policy.enter(HOST, None, 0.0) is Verdict.WELCOME


def test_a_flood_of_addresses_is_forgotten_but_open_visits_are_not(monkeypatch):
    monkeypatch.setattr(access, "ADDRESSES_REMEMBERED", 2)
    policy = AccessPolicy(Access(connections=1))
    assert policy.enter(HOST, None, 0.0) is Verdict.WELCOME
    for number in range(10):
        visitor = f"203.0.113.{number}"
        policy.enter(visitor, None, 0.0)
        policy.leave(visitor)
    assert policy.enter(HOST, None, 0.0) is Verdict.TOO_MANY


@pytest.mark.parametrize("wrong", [Access(allow=("nowhere",)), Access(basic=("ann",))])
def test_what_cannot_be_a_policy(wrong):
    with pytest.raises(ConfigError):
        AccessPolicy(wrong)
