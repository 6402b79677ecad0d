"""Static users, time-limited credentials, nonces, quotas, and the limit for strangers."""

import base64
import hashlib
import hmac

import pytest

from p2p.address import TransportAddress
from p2p.errors import IntegrityError
from p2p.proto.stun.attributes import MD5_ALGORITHM, SHA256_ALGORITHM
from p2p.proto.stun.integrity import long_term_key, user_hash
from p2p.proto.turn.credentials import security_features
from relay.core.credentials import CredentialStore, LongTermKeys, rest_password
from relay.core.nonces import FEATURE_PASSWORD_ALGORITHMS, FEATURE_USERNAME_ANONYMITY, NonceSource, nonce_key
from relay.core.quotas import QuotaLimits, Quotas
from relay.core.strangers import StrangerLimit

CLIENT = TransportAddress("203.0.113.7", 4000)


def _store() -> CredentialStore:
    return CredentialStore("realm", static_users={"alice": "wonderland"}, shared_secrets=("new", "old"))


def test_a_static_user():
    found = _store().find("alice", 0.0)
    assert found.keys == (LongTermKeys.derive("alice", "realm", "wonderland"),)
    assert found.quota_owner == "alice"


def test_the_password_of_time_limited_credentials_is_what_everybody_computes():
    expected = base64.b64encode(hmac.new(b"north", b"1700000000:bob", hashlib.sha1).digest()).decode()
    assert rest_password("north", "1700000000:bob") == expected


def test_time_limited_credentials_are_good_until_their_time_and_for_every_secret():
    found = _store().find("2000:bob", 1999.9)
    assert found.keys == tuple(
        LongTermKeys.derive("2000:bob", "realm", rest_password(secret, "2000:bob")) for secret in ("new", "old")
    )
    assert found.quota_owner == "bob"
    with pytest.raises(IntegrityError):
        _store().find("2000:bob", 2000.0)


@pytest.mark.parametrize("name", ["", "mallory", ":", ":bob", "x:bob", "-1:bob", "1e9:bob", "²:bob", "9" * 13 + ":bob"])
def test_other_names_are_unknown(name):
    with pytest.raises(IntegrityError):
        _store().find(name, 0.0)


def test_without_a_secret_there_are_no_time_limited_credentials():
    with pytest.raises(IntegrityError):
        CredentialStore("realm", static_users={"alice": "x"}).find("9999999999:bob", 0.0)


def test_keys_do_not_show_up_in_logs():
    found = _store().find("2000:bob", 0.0)
    assert "keys" not in repr(found)
    assert found.keys[0].md5.hex()[:4] not in repr(found.keys[0])
    assert str(found.keys[0].sha256[0]) not in repr(found.keys)


def test_there_is_a_key_for_each_algorithm():
    keys = LongTermKeys.derive("alice", "realm", "wonderland")
    assert keys.of(MD5_ALGORITHM) == long_term_key("alice", "realm", "wonderland")
    assert keys.of(SHA256_ALGORITHM) == hashlib.sha256(b"alice:realm:wonderland").digest()


def test_static_users_are_found_by_the_hash_of_their_name():
    assert _store().find_hashed(user_hash("alice", "realm"), 0.0).username == "alice"
    for hashed in (user_hash("alice", "elsewhere"), user_hash("2000:bob", "realm"), bytes(32)):
        with pytest.raises(IntegrityError):
            _store().find_hashed(hashed, 0.0)


def test_who_runs_a_relay_inside_may_be_asked_for_passwords():
    asked = []

    def password_of(username: str) -> str | None:
        asked.append(username)
        return {"carol": "christmas", "dave": ""}.get(username)

    store = CredentialStore(
        "realm", static_users={"alice": "wonderland"}, shared_secrets=("new",), password_of=password_of
    )
    assert store.find("carol", 0.0).keys == (LongTermKeys.derive("carol", "realm", "christmas"),)
    store.find("alice", 0.0)
    store.find("2000:bob", 0.0)
    with pytest.raises(IntegrityError):
        store.find("10:late", 11.0)
    assert asked == ["carol"]
    for name in ("dave", "erin"):  # an empty password keeps nobody out
        with pytest.raises(IntegrityError):
            store.find(name, 0.0)


def test_names_can_be_hidden_only_where_all_are_known():
    assert CredentialStore("realm", static_users={"alice": "x"}).knows_all_names
    assert not _store().knows_all_names
    assert not CredentialStore("realm", password_of=lambda _: None).knows_all_names


def test_a_nonce_is_good_for_its_client_and_an_hour():
    nonces = NonceSource(b"key")
    nonce = nonces.issue(CLIENT, 5000.0)
    assert len(nonce) == 33
    nonces.check(nonce, CLIENT, 5000.0)
    nonces.check(nonce, CLIENT, 8600.0)
    for client, now in ((CLIENT, 8601.0), (TransportAddress(CLIENT.host, 4001), 5000.0), (CLIENT, 4900.0)):
        with pytest.raises(IntegrityError):
            nonces.check(nonce, client, now)


def test_a_nonce_given_in_advance_is_good_from_anywhere_and_over_restarts():
    nonce = NonceSource(nonce_key("secret")).issue_in_advance(b"abc", 5000.0)
    assert nonce != NonceSource(nonce_key("secret")).issue_in_advance(b"abd", 5000.0)
    NonceSource(nonce_key("secret")).check(nonce, CLIENT, 5001.0)
    for source, now in ((NonceSource(nonce_key("other")), 5001.0), (NonceSource(nonce_key("secret")), 9000.0)):
        with pytest.raises(IntegrityError):
            source.check(nonce, CLIENT, now)


@pytest.mark.parametrize("nonce", ["", "x", "=", "AAAA", "A" * 20, "é" * 20, "\udcff", "A" * 763])
def test_what_is_no_nonce_is_refused(nonce):
    with pytest.raises(IntegrityError):
        NonceSource(b"key").check(nonce, CLIENT, 0.0)


@pytest.mark.parametrize(
    "features", [FEATURE_PASSWORD_ALGORITHMS, FEATURE_PASSWORD_ALGORITHMS | FEATURE_USERNAME_ANONYMITY]
)
def test_what_a_challenge_announces_cannot_be_taken_out_on_the_way(features):
    nonces = NonceSource(b"key", features=features)
    nonce = nonces.issue(CLIENT, 5000.0)
    assert security_features(nonce) == features
    cookie, sealed = nonce[:13], nonce[13:]
    for forged in (sealed, cookie[:9] + "AAAA" + sealed, "obMatJos2wAAA"[:13] + sealed, cookie + cookie + sealed):
        if forged != nonce:
            with pytest.raises(IntegrityError):
                nonces.check(forged, CLIENT, 5000.0)
    assert security_features(nonces.issue_in_advance(b"abc", 5000.0)) == 0


def test_one_flipped_bit_is_enough():
    nonces = NonceSource(b"key")
    cookie, sealed = (nonce := nonces.issue(CLIENT, 5000.0))[:13], nonce[13:]
    raw = bytearray(base64.urlsafe_b64decode(sealed))
    for bit in range(len(raw) * 8):
        forged = bytearray(raw)
        forged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(IntegrityError):
            nonces.check(cookie + base64.urlsafe_b64encode(forged).decode(), CLIENT, 5000.0)


def test_quotas_name_the_limit_and_forget_who_is_gone():
    quotas = Quotas(QuotaLimits(total=3, per_user=2, per_address=2))
    quotas.add("alice", "192.0.2.1")
    quotas.add("alice", "192.0.2.2")
    assert quotas.exceeded("alice", "192.0.2.3") == "user"
    assert quotas.exceeded("bob", "192.0.2.1") is None
    quotas.add("bob", "192.0.2.1")
    assert quotas.exceeded("carol", "192.0.2.9") == "total"
    quotas.remove("alice", "192.0.2.2")
    assert quotas.exceeded("carol", "192.0.2.1") == "address"
    quotas.remove("alice", "192.0.2.1")
    quotas.remove("bob", "192.0.2.1")
    assert not quotas._by_user
    assert not quotas._by_address


def test_a_stranger_gets_a_start_and_then_no_more_than_it_sends():
    limit = StrangerLimit(burst_bytes=1000, bytes_per_s=10)
    sent = received = 0
    for _ in range(1000):
        received += 28
        if limit.received(CLIENT, 28, 0.0) and limit.may_send(CLIENT, 64, 0.0):
            sent += 64
    assert received - 64 <= sent <= received + 1000


def test_the_budget_comes_back_but_not_beyond_the_start():
    limit = StrangerLimit(burst_bytes=100, bytes_per_s=10)
    assert limit.may_send(CLIENT, 100, 0.0)
    assert not limit.may_send(CLIENT, 50, 4.9)
    assert limit.may_send(CLIENT, 50, 5.0)
    assert not limit.may_send(CLIENT, 101, 1e6)


def test_a_site_is_one_stranger_and_another_site_is_not():
    limit = StrangerLimit(burst_bytes=100, bytes_per_s=0)
    assert limit.may_send(TransportAddress("2001:db8:1:2::a", 1), 100, 0.0)
    assert not limit.may_send(TransportAddress("2001:db8:1:2::b", 2), 1, 0.0)
    assert limit.may_send(TransportAddress("2001:db8:1:3::a", 1), 100, 0.0)


def test_strangers_do_not_fill_the_memory():
    limit = StrangerLimit(remembered=10)
    for number in range(100):
        limit.received(TransportAddress(f"192.0.2.{number}", 1), 10, 0.0)
    assert len(limit._budgets) == 10
