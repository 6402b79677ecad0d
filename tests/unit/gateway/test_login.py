"""Logins of browsers, without a browser."""

from __future__ import annotations

from itertools import count
from urllib.parse import parse_qs, urlsplit

import pytest

from gateway.core.headers import Headers
from gateway.core.login import LOGIN_WITHIN_S, SESSION_S, Logins, Pending
from gateway.core.seals import SECRET_BYTES, Seals
from p2p.errors import IntegrityError
from p2p.proto.login import Claims, OidcLogin

LOGIN = OidcLogin(authorize="https://auth.example/go?realm=home", client="blog", rules="1")
ANN = Claims(subject="u1", email="ann@example.org")
_numbers = count(1)


def random_bytes(size: int) -> bytes:
    return next(_numbers).to_bytes(size, "big")


def logins() -> Logins:
    return Logins(Seals(bytes(SECRET_BYTES), random_bytes), random_bytes)


def cookie(set_cookie: str) -> Headers:
    return [("cookie", f"own=1; {set_cookie.partition(';')[0]}")]


def test_the_question_to_the_issuer_has_what_protects_it():
    start = logins().begin(LOGIN, "https://blog.example", "blog.example", "/x", [], 0.0)
    asked = {name: values[0] for name, values in parse_qs(urlsplit(start.location).query).items()}
    assert start.location.startswith("https://auth.example/go?realm=home&response_type=code&")
    assert asked["redirect_uri"] == "https://blog.example/.p2p/login"
    assert asked["code_challenge_method"] == "S256"
    assert {"nonce", "code_challenge", "state", "scope"} <= asked.keys()
    assert start.cookie.startswith("__Host-p2p_browser=")
    assert start.cookie.endswith("; Path=/; Max-Age=600; HttpOnly; SameSite=Lax; Secure")
    assert "/x" not in start.location.replace("https://", "")


def test_a_login_is_taken_back_once_begun_here_and_not_too_late():
    there = logins()
    start = there.begin(LOGIN, "https://blog.example", "blog.example", "/x", [], 0.0)
    state = parse_qs(urlsplit(start.location).query)["state"][0]
    headers = cookie(start.cookie)
    pending = there.resume(state, "blog.example", headers, LOGIN_WITHIN_S, is_secure=True)
    assert pending.target == "/x"
    for host, said, now, is_secure in (
        ("other.example", headers, 0.0, True),
        ("blog.example", [], 0.0, True),
        ("blog.example", headers, LOGIN_WITHIN_S + 1, True),
        # A cookie without the prefix may be a neighbour's.
        ("blog.example", [("cookie", headers[0][1].replace("__Host-", ""))], 0.0, True),
        ("blog.example", headers, 0.0, False),
    ):
        with pytest.raises(IntegrityError):
            there.resume(state, host, said, now, is_secure=is_secure)
    # A second tab does not spoil the first one.
    second = there.begin(LOGIN, "https://blog.example", "blog.example", "/y", headers, 0.0)
    assert cookie(second.cookie) == headers


def test_a_session_ends_with_its_time_and_with_its_rules():
    there = logins()
    headers = cookie(there.remember(ANN, LOGIN, "blog.example", 0.0, is_secure=True))
    assert there.who(LOGIN, "blog.example", headers, SESSION_S, is_secure=True) == ANN
    assert there.who(LOGIN, "blog.example", headers, SESSION_S + 1, is_secure=True) is None
    assert there.who(LOGIN, "other.example", headers, 0.0, is_secure=True) is None
    assert there.who(LOGIN, "blog.example", headers, 0.0, is_secure=False) is None
    other = OidcLogin(authorize=LOGIN.authorize, client="blog", rules="2")
    assert there.who(other, "blog.example", headers, 0.0, is_secure=True) is None
    assert there.who(None, "blog.example", headers, 0.0, is_secure=True) is None


@pytest.mark.parametrize("text", ["", "x", "ä", "A" * 16, "A" * 100])
def test_what_was_not_sealed_is_not_opened(text):
    with pytest.raises(IntegrityError):
        Seals(bytes(SECRET_BYTES), random_bytes).open(text, Pending)


def test_what_was_sealed_as_one_thing_is_no_other():
    seals = Seals(bytes(SECRET_BYTES), random_bytes)
    sealed = seals.seal(ANN)
    assert seals.open(sealed, Claims) == ANN
    with pytest.raises(IntegrityError):
        seals.open(sealed, Pending)


def test_a_browser_s_cookie_that_nobody_set_is_replaced():
    there = logins()
    for said in ("", "caf\xe9", "\udcff"):
        headers = [("cookie", f"__Host-p2p_browser={said}")]
        start = there.begin(LOGIN, "https://blog.example", "blog.example", "/x", headers, 0.0)
        assert start.cookie.isascii()
        state = parse_qs(urlsplit(start.location).query)["state"][0]
        with pytest.raises(IntegrityError):
            there.resume(state, "blog.example", headers, 0.0, is_secure=True)
        assert there.resume(state, "blog.example", cookie(start.cookie), 0.0, is_secure=True)
