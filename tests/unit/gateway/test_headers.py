"""What a proxy changes in the headers."""

from __future__ import annotations

import pytest

from gateway.core.headers import Visit, apply_rules, end_to_end, for_service, is_for_rules
from p2p.address import TransportAddress
from p2p.proto.publication import HeaderRule

LOCAL = TransportAddress("203.0.113.9", 443)


def test_what_concerns_one_connection_is_left_out():
    headers = [("Connection", "close, X-Hop"), ("x-hop", "1"), ("TE", "trailers"), ("Accept", "a"), ("Accept", "b")]
    assert end_to_end(headers) == [("Accept", "a"), ("Accept", "b")]


def test_the_visitor_is_told_and_cannot_tell_otherwise():
    visit = Visit(TransportAddress("2001:db8::7", 1), "https", 'blog".example', LOCAL, "/")
    forged = [("X-Forwarded-For", "6.6.6.6"), ("FORWARDED", "for=6.6.6.6"), ("X-Real-IP", "6.6.6.6"), ("Host", "h")]
    assert for_service(forged, visit) == [
        ("Host", "h"),
        ("X-Forwarded-For", "2001:db8::7"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", 'blog".example'),
        ("X-Forwarded-Port", "443"),
        ("X-Real-IP", "2001:db8::7"),
        ("Forwarded", 'for="[2001:db8::7]";host="blog\\".example";proto=https'),
    ]


def test_rules_set_and_remove():
    headers = [("Accept", "a"), ("x-tenant", "visitor"), ("Host", "blog.example"), ("accept", "b")]
    rules = (
        HeaderRule(name="Accept"),
        HeaderRule(name="X-Tenant", value="home"),
        HeaderRule(name="host", value="intranet.example"),
    )
    assert apply_rules(headers, rules) == [("X-Tenant", "home"), ("host", "intranet.example")]


@pytest.mark.parametrize("name", ["Content-Length", "transfer-encoding", "Connection", "Upgrade"])
def test_no_rule_changes_where_a_request_ends(name):
    assert not is_for_rules(name)
