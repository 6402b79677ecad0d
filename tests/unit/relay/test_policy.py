"""Special addresses are denied in every spelling, and the most specific rule decides."""

import ipaddress

import pytest

from p2p.errors import ConfigError
from relay.core.policy import PeerForbiddenError, PeerPolicy
from relay.core.special_ranges import embedded_ipv4

OWN = "93.184.216.34"


def _policy(**options) -> PeerPolicy:
    networks = {name: tuple(map(ipaddress.ip_network, options.pop(name, ()))) for name in ("allow", "deny")}
    return PeerPolicy(is_own=lambda address: str(address) == OWN, **networks, **options)


PUBLIC = ["8.8.8.8", "1.1.1.1", "100.63.255.255", "100.128.0.0", "2620:fe::fe", "2a00:1450:4001::1"]

SPECIAL = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.127.255.255",
    "127.0.0.1",
    "127.8.8.8",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:8.8.8.8",
    "::ffff:10.0.0.1",
    "::ffff:7f00:1",
    "::8.8.8.8",
    "::ffff:0:8.8.8.8",
    "64:ff9b::8.8.8.8",
    "64:ff9b::10.0.0.1",
    "64:ff9b:1::10.0.0.1",
    "64:ff9b:1:a00:0:100::",
    "64:ff9b:1:a:0:1::",
    "100::1",
    "2001::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:2::1",
    "2001:10::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:0808:0808::1",
    "2002:0a00:0001::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fec0::1",
    "ff02::1",
]


@pytest.mark.parametrize("host", PUBLIC)
def test_public_addresses_are_allowed(host):
    _policy().check(host)


@pytest.mark.parametrize("host", SPECIAL)
def test_special_addresses_are_denied(host):
    with pytest.raises(PeerForbiddenError):
        _policy().check(host)


@pytest.mark.parametrize(
    "host", [OWN, "::ffff:93.184.216.34", "64:ff9b::93.184.216.34", "2002:5db8:d822::1", "2620:fe::5efe:5db8:d822"]
)
def test_own_addresses_are_denied_in_every_spelling_even_where_the_prefix_is_allowed(host):
    policy = _policy(allow=["64:ff9b::/96", "2002::/16", "93.184.216.0/24"])
    with pytest.raises(PeerForbiddenError):
        policy.check(host)


@pytest.mark.parametrize(
    "host",
    [
        "64:ff9b::10.0.0.1",
        "2002:0a00:0001::1",
        "2620:fe::5efe:10.0.0.1",
        "::ffff:0:10.0.0.1",
        "64:ff9b:1:808:808:808:10.0.0.1",  # the last four bytes
        "64:ff9b:1:a00:0:108:808:808",  # 10.0.0.1 behind a prefix of 48 bits
        "64:ff9b:1:80a:0:1:808:808",  # of 56 bits
        "64:ff9b:1:808:a:0:108:808",  # of 64 bits
    ],
)
def test_an_allowed_translation_prefix_opens_no_private_network(host):
    with pytest.raises(PeerForbiddenError):
        _policy(allow=["64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "::ffff:0:0:0/96"]).check(host)


def test_an_allowed_translation_prefix_opens_public_networks():
    _policy(allow=["64:ff9b::/96"]).check("64:ff9b::8.8.8.8")


def test_a_denied_ipv4_network_is_denied_behind_an_allowed_prefix():
    with pytest.raises(PeerForbiddenError):
        _policy(allow=["64:ff9b::/96"], deny=["8.8.8.0/24"]).check("64:ff9b::8.8.8.8")


def test_the_most_specific_rule_decides():
    policy = _policy(allow=["10.1.0.0/16", "10.1.2.3/32"], deny=["10.1.2.0/24"])
    policy.check("10.1.1.1")
    policy.check("10.1.2.3")
    for host in ("10.1.2.4", "10.2.0.1"):
        with pytest.raises(PeerForbiddenError):
            policy.check(host)


def test_a_wide_allow_does_not_open_what_is_denied_by_itself():
    with pytest.raises(PeerForbiddenError):
        _policy(allow=["0.0.0.0/0", "8.0.0.0/5"]).check("10.0.0.1")


def test_of_two_rules_for_one_network_the_denial_holds():
    with pytest.raises(PeerForbiddenError):
        _policy(allow=["9.9.9.0/24"], deny=["9.9.9.0/24"]).check("9.9.9.9")


def test_deny_all_and_allow_one_makes_an_allow_list():
    policy = _policy(allow=["8.8.8.0/24"], deny=["0.0.0.0/0", "::/0"])
    policy.check("8.8.8.8")
    for host in ("1.1.1.1", "2620:fe::fe"):
        with pytest.raises(PeerForbiddenError):
            policy.check(host)


@pytest.mark.parametrize(
    "network",
    ["224.0.0.0/4", "239.1.0.0/16", "255.255.255.255/32", "0.0.0.0/8", "::ffff:0:0/96", "ff02::/16", "::/128"],
)
def test_what_nobody_can_mean_is_a_mistake_in_the_file(network):
    with pytest.raises(ConfigError):
        _policy(allow=[network])


def test_the_laboratory_switch_opens_private_and_documentation_networks_and_no_more():
    policy = _policy(danger_allow_private_peers=True)
    for host in ("10.0.0.1", "100.64.1.1", "192.168.1.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "fd00::1"):
        policy.check(host)
    for host in ("127.0.0.1", "169.254.169.254", "0.0.0.0", "::1", "fe80::1", "::ffff:10.0.0.1", "224.0.0.1"):
        with pytest.raises(PeerForbiddenError):
            policy.check(host)


def test_a_denied_network_stays_denied_in_the_laboratory():
    with pytest.raises(PeerForbiddenError):
        _policy(danger_allow_private_peers=True, deny=["10.0.0.0/8"]).check("10.0.0.1")


def test_the_loopback_switch_opens_loopback_and_no_more():
    policy = PeerPolicy(is_own=lambda address: address.is_loopback, danger_allow_loopback_peers=True)
    for host in ("127.0.0.1", "127.1.2.3", "::1"):
        policy.check(host)
    for host in ("10.0.0.1", "0.0.0.0", "::", "::ffff:127.0.0.1"):
        with pytest.raises(PeerForbiddenError):
            policy.check(host)


def test_both_ends_of_a_teredo_address_are_found():
    found = embedded_ipv4(ipaddress.ip_address("2001:0:4136:e378:8000:63bf:3fff:fdd2"))
    assert {str(address) for address in found} == {"65.54.227.120", "192.0.2.45"}


def test_where_only_known_hosts_are_peers_others_are_refused_and_rules_of_the_operator_hold():
    policy = _policy(
        allow=["9.9.9.0/24", "10.1.0.0/16"], deny=["8.8.4.0/24"], knows=["8.8.8.8", "8.8.4.4"].__contains__
    )
    for host in ("8.8.8.8", "9.9.9.9", "10.1.0.1"):
        policy.check(host)
    policy.check("8.8.8.9", is_renewal=True)
    for host in ("8.8.8.9", "8.8.4.4", "10.2.0.1", OWN):
        with pytest.raises(PeerForbiddenError):
            policy.check(host)
    for host in ("8.8.4.4", OWN):
        with pytest.raises(PeerForbiddenError):
            policy.check(host, is_renewal=True)
