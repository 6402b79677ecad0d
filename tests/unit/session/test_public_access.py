"""How issuers and webhooks are written on the command line."""

from __future__ import annotations

import pytest

from p2p.errors import ConfigError
from p2p.session.options import HeaderRule, Health, IssuerOptions, Webhook
from p2p.session.public_access import parse_header_rules, parse_health, parse_issuer, parse_webhook


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://auth.example/realms/home", IssuerOptions(location="https://auth.example/realms/home")),
        ("https://a.example,aud=x,aud=y", IssuerOptions(location="https://a.example", audience=("x", "y"))),
        ("keys.json,iss=me", IssuerOptions(location="keys.json", issuer="me")),
    ],
)
def test_issuers(text, expected):
    assert parse_issuer(text) == expected


@pytest.mark.parametrize("text", ["", ",aud=x", "a,aud=", "a,x=y", "a,iss=x,iss=y"])
def test_what_is_no_issuer(text):
    with pytest.raises(ConfigError, match="--jwt"):
        parse_issuer(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("github:a:b", Webhook(kind="github", secret="a:b")),
        ("stripe:whsec_1", Webhook(kind="stripe", secret="whsec_1")),
        ("hmac:X-Sig:s:t", Webhook(kind="hmac", header="X-Sig", secret="s:t")),
    ],
)
def test_webhooks(text, expected):
    assert parse_webhook(text) == expected


@pytest.mark.parametrize(
    "text", ["", "github", "github:", "gitlab:hidden", "hmac:hidden", "hmac::hidden", "hmac:X Y:hidden"]
)
def test_what_is_no_webhook_and_no_message_has_its_secret(text):
    with pytest.raises(ConfigError) as caught:
        parse_webhook(text)
    assert "hidden" not in str(caught.value)


def test_header_rules():
    assert parse_header_rules(["Host: intranet.example:80", "X-Own:"], ["Accept"]) == (
        HeaderRule(name="Accept"),
        HeaderRule(name="Host", value="intranet.example:80"),
        HeaderRule(name="X-Own", value=""),
    )


@pytest.mark.parametrize(
    ("sets", "removes"),
    [(["X-Own"], []), (["X Own:hidden"], []), (["X-Own:hidden\r\nY:1"], []), ([], [""]), ([], ["a:b"])],
)
def test_what_is_no_header_rule(sets, removes):
    with pytest.raises(ConfigError) as caught:
        parse_header_rules(sets, removes)
    assert caught.value.code == "P2P-1510"
    assert "hidden" not in str(caught.value)


def test_health():
    assert parse_health("/healthz") == Health(path="/healthz", interval_s=10.0)
    assert parse_health("/a?b=c,2m") == Health(path="/a?b=c", interval_s=120.0)


@pytest.mark.parametrize("text", ["", "healthz", "/a b", "/a,0.1s", "/a,2h", "/a,often"])
def test_what_is_no_health(text):
    with pytest.raises(ConfigError):
        parse_health(text)
