import base64
import hashlib
import hmac

from p2p.identity import Identity
from rendezvous.core.credentials import RealmNonce, mint_turn_servers
from rendezvous.core.relays import RelayPlace

ALICE = Identity.from_seed(b"a" * 32).peer_id
URLS = ("turn:192.0.2.1:3478?transport=udp", "turns:rv.example.com:443?transport=tcp")
PLACES = tuple(RelayPlace(url, "eu") for url in URLS)


def test_the_password_is_the_hmac_of_the_user_name() -> None:
    servers = mint_turn_servers(PLACES, "north", ALICE, now_wall=1000.9, lifetime_s=600)
    assert [server.url for server in servers] == list(URLS)
    for server in servers:
        assert server.region == "eu"
        assert server.expires_wall == 1600
        assert server.username == f"1600:{ALICE}"
        digest = hmac.new(b"north", server.username.encode(), hashlib.sha1).digest()
        assert base64.b64decode(server.password) == digest
        assert (server.realm, server.nonce) == (None, None)


def test_a_relay_in_this_process_adds_its_realm_and_nonce() -> None:
    def challenge_of(url: str) -> RealmNonce | None:
        return RealmNonce("p2p", "n1") if "udp" in url else None

    udp, tls = mint_turn_servers(PLACES, "s", ALICE, now_wall=0, lifetime_s=1, challenge_of=challenge_of)
    assert (udp.realm, udp.nonce) == ("p2p", "n1")
    assert (tls.realm, tls.nonce) == (None, None)


def test_no_relays_no_credentials() -> None:
    assert mint_turn_servers((), "s", ALICE, now_wall=0, lifetime_s=1) == ()
