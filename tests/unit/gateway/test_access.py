"""Whom the gateway lets through."""

from __future__ import annotations

import base64

import pytest

from gateway.core import access
from gateway.core.access import AccessPolicy, Verdict
from p2p.errors import ConfigError, IntegrityError
from p2p.proto.publication import Access, Issuer, Webhook
from tests.support.tokens import SigningKey

HOST = "198.51.100.7"


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


def enter(policy: AccessPolicy, host: str, authorization: str | None, now: float) -> Verdict:
    return policy.enter(host, {} if authorization is None else {"Authorization": authorization}, now, 0.0)


def test_without_a_policy_everybody_comes():
    assert enter(AccessPolicy(Access()), HOST, None, 0.0) is Verdict.WELCOME


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
    assert enter(policy, HOST, header, 0.0) is verdict


def test_a_rate_limits_guesses_too():
    policy = AccessPolicy(Access(bearer=("token",), requests_per_s=1.0))
    assert [enter(policy, HOST, "Bearer x", 0.0) for _ in range(3)] == [
        Verdict.CREDENTIALS_NEEDED,
        Verdict.CREDENTIALS_NEEDED,
        Verdict.TOO_MANY,
    ]
    assert enter(policy, "198.51.100.8", "Bearer token", 0.0) is Verdict.WELCOME
    assert enter(policy, HOST, "Bearer token", 1.0) is Verdict.WELCOME


def test_so_many_at_a_time():
    policy = AccessPolicy(Access(connections=2))
    assert [enter(policy, HOST, None, 0.0) for _ in range(3)] == [Verdict.WELCOME, Verdict.WELCOME, Verdict.TOO_MANY]
    policy.leave(HOST)
    assert enter(policy, HOST, None, 0.0) is Verdict.WELCOME


def test_a_flood_of_addresses_is_forgotten_but_open_visits_are_not(monkeypatch):
    monkeypatch.setattr(access, "ADDRESSES_REMEMBERED", 2)
    policy = AccessPolicy(Access(connections=1))
    assert enter(policy, HOST, None, 0.0) is Verdict.WELCOME
    for number in range(10):
        visitor = f"203.0.113.{number}"
        enter(policy, visitor, None, 0.0)
        policy.leave(visitor)
    assert enter(policy, HOST, None, 0.0) is Verdict.TOO_MANY


@pytest.mark.parametrize("wrong", [Access(allow=("nowhere",)), Access(basic=("ann",))])
def test_what_cannot_be_a_policy(wrong):
    with pytest.raises(ConfigError):
        AccessPolicy(wrong)


def test_a_signature_is_a_way_in_beside_a_password():
    hook = Webhook(kind="hmac", header="X-Sig", secret="s")
    policy = AccessPolicy(Access(webhooks=(hook,), connections=1))
    assert not policy.needs_credentials
    assert policy.enter(HOST, {}, 0.0, 0.0) is Verdict.UNSIGNED
    assert policy.enter(HOST, {"X-Sig": "?"}, 0.0, 0.0) is Verdict.IF_SIGNED
    assert policy.enter(HOST, {"X-Sig": "?"}, 0.0, 0.0) is Verdict.TOO_MANY, "bodies count while they are read"
    with pytest.raises(IntegrityError):
        policy.check_signature({"X-Sig": "?"}, b"", 0.0)
    policy.leave(HOST)
    both = AccessPolicy(Access(webhooks=(hook,), basic=("ann:secret",)))
    assert enter(both, HOST, None, 0.0) is Verdict.CREDENTIALS_NEEDED
    assert enter(both, HOST, basic("ann:secret"), 0.0) is Verdict.WELCOME
    assert both.enter(HOST, {"X-Sig": "?"}, 0.0, 0.0) is Verdict.IF_SIGNED


def test_tokens_are_a_way_in_beside_others_and_a_missing_key_is_noticed():
    key, other = (SigningKey("ES256", kid) for kid in "ab")
    policy = AccessPolicy(Access(bearer=("plain",), jwt=(Issuer(keys=(key.public,)),)))
    assert enter(policy, HOST, "Bearer plain", 0.0) is Verdict.WELCOME
    assert enter(policy, HOST, f"Bearer {key.token(exp=100)}", 0.0) is Verdict.WELCOME
    assert not policy.misses_key
    assert enter(policy, HOST, f"Basic {key.token(exp=100)}", 0.0) is Verdict.CREDENTIALS_NEEDED
    assert enter(policy, HOST, f"Bearer {other.token(exp=100)}", 0.0) is Verdict.CREDENTIALS_NEEDED
    assert policy.misses_key
    policy.set_keys((Issuer(keys=(other.public,)),))
    assert enter(policy, HOST, f"Bearer {other.token(exp=100)}", 0.0) is Verdict.WELCOME
    with pytest.raises(ConfigError):
        policy.set_keys(())
