"""What limits and policies hold for, whatever the numbers and spellings."""

from __future__ import annotations

import ipaddress

import hypothesis.strategies as st
import pytest
from hypothesis import given

from p2p.defaults import RELAY_RATE_BURST_BYTES, RELAY_RATE_BURST_PACKETS, RELAY_RATE_BURST_S
from p2p.errors import IntegrityError
from p2p.proto.turn.credentials import security_features
from relay.core.credentials import CredentialStore
from relay.core.nonces import FEATURE_PASSWORD_ALGORITHMS, FEATURE_USERNAME_ANONYMITY, NonceSource
from relay.core.policy import PeerForbiddenError, PeerPolicy
from relay.core.quotas import QuotaLimits, Quotas
from relay.core.rates import RateLimit, RateLimits, Rates
from relay.core.special_ranges import LOOPBACK, NEVER, OTHER, PRIVATE
from tests.unit.relay.support import PEER

SPECIAL_IPV4 = [network for network in (*LOOPBACK, *PRIVATE, *NEVER, *OTHER) if network.version == 4]
TRANSLATING = [ipaddress.ip_network(text) for text in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")]


@st.composite
def special_addresses(draw: st.DrawFn) -> ipaddress.IPv4Address:
    """Any IPv4 address that no peer has."""
    network = draw(st.sampled_from(SPECIAL_IPV4))
    return network[draw(st.integers(0, network.num_addresses - 1))]


def spellings(address: ipaddress.IPv4Address, filling: int) -> list[str]:
    """IPv6 addresses that lead to an IPv4 address; bits that do not matter are as ``filling`` says."""
    number = int(address)

    def prefixed(prefix: str) -> str:
        return str(ipaddress.IPv6Address(int(ipaddress.IPv6Address(prefix)) | number))

    local = ipaddress.IPv6Address("64:ff9b:1::").packed[:6]
    packed, rest = address.packed, filling.to_bytes(8, "big")
    return [
        prefixed("::"),
        prefixed("::ffff:0:0"),
        prefixed("::ffff:0:0:0"),
        prefixed("64:ff9b::"),
        prefixed("64:ff9b:1::"),
        str(ipaddress.IPv6Address(local + packed[:2] + bytes(1) + packed[2:] + rest[:5])),
        str(ipaddress.IPv6Address(local + rest[:1] + packed[:1] + bytes(1) + packed[1:] + rest[:4])),
        str(ipaddress.IPv6Address(local + rest[:2] + bytes(1) + packed + rest[:3])),
        str(ipaddress.IPv6Address((0x2002 << 112) | number << 80 | filling)),
        str(ipaddress.IPv6Address((0x20010000 << 96) | (filling & 0xFFFFFFFFFFFFFFFF) << 32 | (number ^ 0xFFFFFFFF))),
        str(ipaddress.IPv6Address((0x20010000 << 96) | number << 64 | filling)),
        str(ipaddress.IPv6Address((0x2620_00FE << 96) | 0x5EFE << 32 | number)),
    ]


@given(special_addresses(), st.integers(0, 2**64 - 1))
def test_special_addresses_are_denied_in_every_spelling_even_behind_allowed_prefixes(address, filling):
    policies = [
        PeerPolicy(is_own=lambda _: False),
        PeerPolicy(is_own=lambda _: False, allow=TRANSLATING),
        PeerPolicy(is_own=lambda _: False, knows=lambda _: True),
    ]
    for policy in policies:
        for host in (str(address), *spellings(address, filling)):
            with pytest.raises(PeerForbiddenError):
                policy.check(host)


@given(st.ip_addresses(v=4), st.integers(0, 2**64 - 1))
def test_own_addresses_are_denied_in_every_spelling(address, filling):
    policy = PeerPolicy(is_own=lambda found: found == address, allow=TRANSLATING, danger_allow_private_peers=True)
    for host in (str(address), *spellings(address, filling)):
        with pytest.raises(PeerForbiddenError):
            policy.check(host)


limits = st.builds(
    RateLimit,
    bytes_per_s=st.sampled_from([0.0, 1.0, 1e5, 1e7]),
    packets_per_s=st.sampled_from([0.0, 1.0, 100.0, 1e5]),
)
batches = st.lists(
    st.tuples(st.floats(0, 3), st.integers(0, 1), st.lists(st.integers(0, 2000), min_size=1, max_size=300)), max_size=30
)


@given(limits, limits, limits, batches)
def test_no_limit_lets_more_through_than_its_rate_and_what_was_saved_up(user, address, total, given_batches):
    now = 0.0
    rates = Rates(RateLimits(user=user, address=address, total=total), clock=lambda: now)
    groups = [rates.join("alice", "192.0.2.1"), rates.join("bob", "192.0.2.1")]
    passed = {"alice": [0, 0], "bob": [0, 0]}
    for pause_s, who, sizes in given_batches:
        now += pause_s
        payloads = [bytes(size) for size in sizes]
        count = groups[who].take(payloads)
        assert 0 <= count <= len(payloads)
        passed[groups[who].user][0] += sum(sizes[:count])
        passed[groups[who].user][1] += count
        both = [sum(amounts) for amounts in zip(*passed.values(), strict=True)]
        for limit, (size, packets) in ((user, passed["alice"]), (user, passed["bob"]), (address, both), (total, both)):
            if limit.bytes_per_s:
                burst = max(RELAY_RATE_BURST_BYTES, limit.bytes_per_s * RELAY_RATE_BURST_S)
                assert size <= burst + limit.bytes_per_s * now + 1e-3
            if limit.packets_per_s:
                burst = max(RELAY_RATE_BURST_PACKETS, limit.packets_per_s * RELAY_RATE_BURST_S)
                assert packets <= burst + limit.packets_per_s * now + 1e-3


hosts = st.sampled_from(["192.0.2.1", "2001:db8::1"])
changes = st.lists(st.tuples(st.booleans(), st.sampled_from("abc"), hosts, st.integers(1, 3)))


@given(changes)
def test_quotas_count_what_was_added_and_not_removed(given_changes):
    quotas, held = Quotas(QuotaLimits(total=10, per_user=5, per_address=7)), []
    for is_more, user, host, count in given_changes:
        if not is_more and held:
            quotas.remove(*held.pop())
            continue
        by_user = sum(n for name, _, n in held if name == user)
        by_host = sum(n for _, where, n in held if where == host)
        exceeded = quotas.exceeded(user, host, count)
        everything = sum(n for _, _, n in held)
        assert (exceeded is None) == (everything + count <= 10 and by_user + count <= 5 and by_host + count <= 7)
        if exceeded is None:
            quotas.add(user, host, count)
            held.append((user, host, count))


features_of_nonces = st.sampled_from([FEATURE_PASSWORD_ALGORITHMS, FEATURE_USERNAME_ANONYMITY])


@given(st.binary(min_size=1), features_of_nonces, st.integers(0, 2**32 - 1))
def test_a_nonce_says_what_the_relay_can_do_and_is_its_own(key, features, now):
    source = NonceSource(key, features=features)
    nonce = source.issue(PEER, now)
    assert security_features(nonce) == features
    source.check(nonce, PEER, now)


@given(st.text(max_size=40))
def test_any_name_is_found_or_is_an_error_of_ours(name):
    store = CredentialStore("realm", static_users={"alice": "x"}, shared_secrets=("north",), password_of=lambda _: None)
    try:
        found = store.find(name, 0.0)
    except IntegrityError:
        return
    assert found.username == name
    assert all(store.still_holds(name, keys) for keys in found.keys)
