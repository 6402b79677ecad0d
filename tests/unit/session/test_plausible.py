"""Addresses of a peer that are checked, and those that are not."""

from __future__ import annotations

import pytest

from p2p.address import TransportAddress
from p2p.session.plausible import is_plausible

LAN = ("192.168.1.2", "2001:db8::2")
HERE = ("127.0.0.1", "::1")


@pytest.mark.parametrize("host", ["198.51.100.7", "192.168.1.3", "10.9.8.7", "100.64.1.1", "2001:db8::7", "fd00::7"])
def test_a_peer_may_be_where_networks_are(host: str) -> None:
    assert is_plausible(TransportAddress(host, 9), LAN)
    assert is_plausible(TransportAddress(host, 9), HERE)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1"])
def test_loopback_is_checked_only_when_both_peers_are_on_this_host(host: str) -> None:
    assert not is_plausible(TransportAddress(host, 53), LAN)
    assert not is_plausible(TransportAddress(host, 53), ())
    assert is_plausible(TransportAddress(host, 53), HERE)


@pytest.mark.parametrize("host", ["169.254.169.254", "fe80::1"])
def test_link_local_services_are_left_alone(host: str) -> None:
    assert not is_plausible(TransportAddress(host, 123), LAN)
    assert is_plausible(TransportAddress(host, 123), ("169.254.3.4",))


@pytest.mark.parametrize("host", ["0.0.0.1", "255.255.255.255", "240.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1"])
def test_nobody_is_at_reserved_addresses(host: str) -> None:
    assert not is_plausible(TransportAddress(host, 9), HERE)
