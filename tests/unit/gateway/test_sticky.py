"""Cookies that bring visitors back to an instance."""

from __future__ import annotations

import pytest

from gateway.core.balance import Instance
from gateway.core.sticky import COOKIE, StickyCookies, cookie_in, set_cookie, without_cookies

COOKIES = StickyCookies(b"s" * 32)


def pool(*keys: str) -> list[Instance]:
    return [Instance(key, 1, 0.0) for key in keys]


def test_each_instance_is_found_by_its_cookie_also_after_a_restart():
    instances = pool("a", "b", "b")
    values = [COOKIES.of("blog", instances, instance) for instance in instances]
    assert len(set(values)) == 3
    assert [COOKIES.find("blog", instances, value) for value in values] == instances
    again = pool("b", "a", "b")
    assert StickyCookies(b"s" * 32).find("blog", again, values[0]) is again[1]


def test_a_cookie_is_for_one_service_at_one_gateway():
    instances = pool("a")
    value = COOKIES.of("blog", instances, instances[0])
    assert COOKIES.find("shop", instances, value) is None
    assert StickyCookies(b"t" * 32).find("blog", instances, value) is None
    for wrong in (None, "", "a", "\udcff", value[:-1]):
        assert COOKIES.find("blog", instances, wrong) is None


@pytest.mark.parametrize(
    ("header", "value", "left"),
    [
        (f"{COOKIE}=x", "x", []),
        (f"a=b; {COOKIE}=x; c=d", "x", [("Cookie", "a=b; c=d")]),
        (f"my{COOKIE}=x", None, [("Cookie", f"my{COOKIE}=x")]),
        ("a=b;c=d", None, [("Cookie", "a=b;c=d")]),
    ],
)
def test_the_service_does_not_see_it(header, value, left):
    headers = [("Cookie", header)]
    assert cookie_in(headers) == value
    assert without_cookies(headers, {COOKIE}) == left


def test_over_tls_it_stays_on_tls():
    assert set_cookie("x", is_secure=True) == f"{COOKIE}=x; Path=/; HttpOnly; SameSite=Lax; Secure"
    assert "Secure" not in set_cookie("x", is_secure=False)
