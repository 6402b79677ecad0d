"""How issuers and webhooks are written on the command line."""

from __future__ import annotations

import pytest

from p2p.errors import ConfigError
from p2p.session.options import HeaderRule, Health, IssuerOptions, OidcOptions, Webhook
from p2p.session.public_access import (
    parse_header_rules,
    parse_health,
    parse_issuer,
    parse_oidc,
    parse_path,
    parse_size,
    parse_webhook,
    read_authorities,
)
from tests.support.authority import Authority


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


def test_oidc(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("hidden\n")
    text = f"https://auth.example,client=blog,secret-file={secret},allow=Ann@Example.org,allow=@b.example,allow=sub:X"
    assert parse_oidc(text) == OidcOptions(
        issuer="https://auth.example",
        client="blog",
        secret="hidden",
        allow=("ann@example.org", "@b.example", "sub:X"),
    )
    assert "hidden" not in repr(parse_oidc(text))


@pytest.mark.parametrize("more", ["", ",client=", ",client=a,client=b", ",client=a,allow=ann", ",client=a,secret=x"])
def test_what_is_no_oidc(more):
    with pytest.raises(ConfigError, match="--oidc"):
        parse_oidc(f"https://auth.example{more}")
    with pytest.raises(ConfigError, match="cannot be read"):
        parse_oidc("https://auth.example,client=a,secret-file=/nowhere")


def test_paths():
    assert [parse_path(text) for text in ("/api", "/api/", "/a/b.c_d~")] == ["/api", "/api", "/a/b.c_d~"]


@pytest.mark.parametrize(
    "text", ["", "/", "api", "/a//b", "/a/../b", "/./a", "/a b", "/a%20", "/a?b", "/a;b", "/" + "a" * 255]
)
def test_what_is_no_path(text):
    with pytest.raises(ConfigError, match="--path"):
        parse_path(text)


def test_sizes():
    assert [parse_size(text) for text in ("1", "2k", "3MB", "4GiB")] == [1, 2 << 10, 3 << 20, 4 << 30]
    for text in ("", "0", "-1", "1.5m", "m", "1t"):
        with pytest.raises(ConfigError):
            parse_size(text)


def test_authorities(tmp_path):
    root = Authority(tmp_path).root
    root.write_text(f"Our authority:\n{root.read_text()}")
    text = read_authorities(root)
    assert text.startswith("-----BEGIN CERTIFICATE-----")
    root.write_text(text * 100)
    for path in (root, tmp_path / "key.pem", tmp_path / "nowhere"):
        with pytest.raises(ConfigError) as caught:
            read_authorities(path)
        assert caught.value.code == "P2P-1512"
