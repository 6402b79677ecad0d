from __future__ import annotations

import ipaddress

import pytest

from p2p.errors import ConfigError
from p2p.proxy_rules import is_allowed, parse_rule


def allows(rule: str, name: str, address: str, port: int) -> bool:
    return is_allowed([parse_rule(rule)], name, ipaddress.ip_address(address), port)


@pytest.mark.parametrize(
    ("rule", "name", "address", "port"),
    [
        ("10.0.0.0/8:80,443", "", "10.1.2.3", 443),
        ("10.0.0.0/8", "", "10.1.2.3", 1),
        ("10.0.0.0/8:8000-8010,9000", "", "10.0.0.1", 8005),
        ("10.0.0.0/8", "nas.lan", "10.0.0.1", 80),
        ("10.0.0.0/8", "", "::ffff:10.0.0.1", 80),
        ("10.0.0.0/8", "", "64:ff9b::a00:1", 80),
        ("192.0.2.7", "", "192.0.2.7", 80),
        ("[2001:db8::]/32:443", "", "2001:db8::5", 443),
        ("2001:db8::/32", "", "2001:db8::5", 443),
        ("[2001:db8::5]:443", "", "2001:db8::5", 443),
        ("nas.lan:22", "nas.lan", "10.0.0.1", 22),
        ("NAS.lan:22", "nas.lan", "10.0.0.1", 22),
        ("*.lan", "nas.lan", "10.0.0.1", 22),
        ("*:443", "", "203.0.113.9", 443),
        ("*:443", "any.example", "203.0.113.9", 443),
        ("0.0.0.0/0", "", "203.0.113.9", 443),
        ("127.0.0.1:8080", "", "127.0.0.1", 8080),
        ("127.0.0.0/8", "", "127.5.5.5", 8080),
        ("localhost:8080", "localhost", "::1", 8080),
        ("[::1]", "", "::1", 8080),
        ("169.254.169.254:80", "", "169.254.169.254", 80),
    ],
)
def test_allowed(rule: str, name: str, address: str, port: int) -> None:
    assert allows(rule, name, address, port)


@pytest.mark.parametrize(
    ("rule", "name", "address", "port"),
    [
        ("10.0.0.0/8:80,443", "", "10.1.2.3", 22),
        ("10.0.0.0/8:80,443", "", "11.1.2.3", 80),
        ("nas.lan", "other.lan", "10.0.0.1", 80),
        ("nas.lan", "", "10.0.0.1", 80),
        ("*.lan", "lan", "10.0.0.1", 80),
        ("*.lan", "evillan", "10.0.0.1", 80),
        ("*.lan", "nas.lan.evil.example", "10.0.0.1", 80),
        # Never without being named: this machine, its link, metadata.
        ("*", "", "127.0.0.1", 80),
        ("*", "", "::1", 80),
        ("*", "", "::ffff:127.0.0.1", 80),
        ("*", "", "64:ff9b::7f00:1", 80),
        ("*", "", "0.0.0.0", 80),
        ("*", "", "169.254.169.254", 80),
        ("*", "", "fe80::1", 80),
        ("*", "", "fd00:ec2::254", 80),
        ("*", "", "100.100.100.200", 80),
        ("*", "", "255.255.255.255", 80),
        ("0.0.0.0/0", "", "127.0.0.1", 80),
        ("::/0", "", "::1", 80),
        ("::/0", "", "::ffff:10.0.0.1", 80),
        ("*", "localhost", "127.0.0.1", 80),
        # A name that was allowed and now points elsewhere.
        ("nas.lan", "nas.lan", "127.0.0.1", 80),
        ("nas.lan", "nas.lan", "169.254.169.254", 80),
        ("localhost", "localhost", "169.254.169.254", 80),
        ("127.0.0.1", "", "127.0.0.2", 80),
    ],
)
def test_not_allowed(rule: str, name: str, address: str, port: int) -> None:
    assert not allows(rule, name, address, port)


@pytest.mark.parametrize(
    "text",
    ["", ":80", "10.0.0.0/33", "10.0.0.1/8", "10.0.0", "nas.lan:0", "nas.lan:70000", "nas.lan:9-8", "nas.lan:", "a b",
     "http://nas.lan", "*nas.lan", "nas.*", "[::1", "::1:x", "nas.lan:80,"],
)  # fmt: skip
def test_what_is_no_rule(text: str) -> None:
    with pytest.raises(ConfigError) as told:
        parse_rule(text)
    assert told.value.code == "P2P-1109"
