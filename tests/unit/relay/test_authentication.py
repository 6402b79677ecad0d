"""Who is served: the steps of RFC 8489 section 9.2.4, in their order."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from p2p.address import TransportAddress
from p2p.defaults import RELAY_STRANGER_BURST_BYTES, RELAY_STRANGER_BYTES_PER_S
from p2p.proto.stun.attributes import (
    FINGERPRINT,
    LIFETIME,
    MD5_ALGORITHM,
    NONCE,
    PASSWORD_ALGORITHM,
    PASSWORD_ALGORITHMS,
    PRIORITY,
    REALM,
    REQUESTED_TRANSPORT,
    SHA256_ALGORITHM,
    SOFTWARE,
    UNKNOWN_ATTRIBUTES,
    USERHASH,
    USERNAME,
    XOR_MAPPED_ADDRESS,
    XOR_RELAYED_ADDRESS,
    PasswordAlgorithm,
)
from p2p.proto.stun.integrity import IntegrityAlgorithm, long_term_key
from p2p.proto.stun.message import Message, MessageClass, Method, decode_untrusted, encode
from relay.core.authentication import Authenticator
from relay.core.counters import Drop, RelayCounters
from relay.core.credentials import CredentialStore, rest_password
from relay.core.five_tuple import ClientTransport
from relay.core.nonces import NonceSource
from relay.core.request import RefusedError
from relay.core.strangers import StrangerLimit
from tests.unit.relay.support import REALM_NAME, SECRET, WALL_AT_START, Client, Relay, error_of

VECTORS = Path(__file__).parents[2] / "vectors" / "stun.json"
WANT_UDP = REQUESTED_TRANSPORT(17)


def test_the_first_request_is_challenged_with_little():
    relay = Relay()
    client = Client(relay)
    answer = client.plain(Method.ALLOCATE, WANT_UDP)
    assert error_of(answer) == 401
    assert answer.get(REALM) == REALM_NAME
    assert answer.get(NONCE) == client.nonce
    assert answer.get(SOFTWARE) is None
    assert not answer.has_integrity
    assert answer.get(PASSWORD_ALGORITHMS) == (SHA256_ALGORITHM, MD5_ALGORITHM)
    assert len(answer.raw) <= 88 + len(REALM_NAME)
    assert not relay.counters.authentication_failures


@pytest.mark.parametrize("missing", [USERNAME, REALM, NONCE])
def test_incomplete_credentials_are_a_bad_request(missing):
    client = Client(Relay())
    attributes = [
        value
        for value in (WANT_UDP, USERNAME("alice"), REALM(REALM_NAME), NONCE(client.nonce))
        if value[0] is not missing
    ]
    message = Message(MessageClass.REQUEST, Method.ALLOCATE, bytes(12), tuple(attributes))
    assert error_of(client.raw(encode(message, integrity_key=client.key))) == 400


@pytest.mark.parametrize("algorithm", [MD5_ALGORITHM, SHA256_ALGORITHM])
@pytest.mark.parametrize("is_hidden", [False, True])
def test_a_client_chooses_how_its_key_is_made_and_whether_its_name_is_seen(algorithm, is_hidden):
    relay = Relay()
    client = Client(relay, algorithm=algorithm, is_hidden=is_hidden, integrity=IntegrityAlgorithm.SHA256)
    client.allocate()
    assert client.allocation.owner == "alice"
    assert error_of(client.permit()) == 0
    assert error_of(client.refresh()) == 0


def test_an_allocation_is_kept_with_the_other_algorithm_after_a_new_challenge():
    relay = Relay()
    client = Client(relay)
    client.nonce = relay.nonces.issue_in_advance(b"123", relay.now_wall)  # which announces nothing
    client.allocate(LIFETIME(3600))
    relay.advance(3599)
    better = Client(relay, algorithm=SHA256_ALGORITHM, integrity=IntegrityAlgorithm.SHA256)
    assert error_of(better.refresh()) == 0


@pytest.mark.parametrize(
    "attributes",
    [
        (PASSWORD_ALGORITHM(MD5_ALGORITHM),),
        (PASSWORD_ALGORITHMS((SHA256_ALGORITHM, MD5_ALGORITHM)),),
        (PASSWORD_ALGORITHMS((MD5_ALGORITHM,)), PASSWORD_ALGORITHM(MD5_ALGORITHM)),
        (PASSWORD_ALGORITHMS((MD5_ALGORITHM, SHA256_ALGORITHM)), PASSWORD_ALGORITHM(MD5_ALGORITHM)),
        (PASSWORD_ALGORITHMS((SHA256_ALGORITHM, MD5_ALGORITHM)), PASSWORD_ALGORITHM(PasswordAlgorithm(3))),
    ],
)
def test_algorithms_that_were_not_offered_so_are_a_bad_request(attributes):
    assert error_of(Client(Relay()).request(Method.ALLOCATE, WANT_UDP, *attributes)) == 400


def test_a_hidden_name_that_nobody_has_looks_like_a_wrong_password():
    relay = Relay()
    client = Client(relay, username="mallory", password="x", is_hidden=True)
    assert error_of(client.request(Method.ALLOCATE, WANT_UDP)) == 401


def test_the_vector_of_the_rfc_passes_but_for_its_nonce():
    """RFC 8489 appendix B.1: USERHASH, SHA-256 key, PASSWORD-ALGORITHM without the list, which the RFC demands."""
    vector = json.loads(VECTORS.read_text())["request_sha256"]
    store = CredentialStore(vector["realm"], static_users={vector["username"]: vector["password"]})
    counters = RelayCounters()
    authenticator = Authenticator(
        realm=vector["realm"], credentials=store, nonces=NonceSource(b"key"), counters=counters
    )
    five_tuple = Client(Relay()).five_tuple
    message = decode_untrusted(bytes.fromhex(vector["hex"]))
    assert store.find_hashed(message.get(USERHASH), 0.0).username == vector["username"]
    with pytest.raises(RefusedError) as refused:
        authenticator.authenticate(message, five_tuple, None, 0.0)
    assert refused.value.number == 400
    whole = replace(message, attributes=(*message.attributes, PASSWORD_ALGORITHMS((SHA256_ALGORITHM, MD5_ALGORITHM))))
    with pytest.raises(RefusedError) as refused:
        authenticator.authenticate(whole, five_tuple, None, 0.0)
    assert refused.value.number == 438  # the name, the key and the integrity are right
    assert counters.authentication_failures == {"wrong password algorithms": 1, "stale nonce": 1}


def test_an_unknown_user_and_a_wrong_password_look_the_same():
    relay = Relay()
    answers = []
    for client in (Client(relay, username="mallory", password="x"), Client(relay, password="wrong")):
        answer = client.request(Method.ALLOCATE, WANT_UDP, transaction_id=bytes(12))
        assert error_of(answer) == 401
        assert not answer.has_integrity
        answers.append(answer.raw)
    assert answers[0] == answers[1]
    assert sum(relay.counters.authentication_failures.values()) == 2


def test_a_wrong_realm_is_refused():
    client = Client(Relay())
    client.key = long_term_key("alice", "elsewhere", "wonderland")
    assert error_of(client.request(Method.ALLOCATE, WANT_UDP)) == 401


def test_a_stale_nonce_is_replaced():
    relay = Relay()
    client = Client(relay)
    relay.advance(3601)
    answer = client.request(Method.ALLOCATE, WANT_UDP)
    assert error_of(answer) == 438
    assert answer.get(REALM) == REALM_NAME
    client.nonce = answer.get(NONCE)
    assert error_of(client.request(Method.ALLOCATE, WANT_UDP)) == 0


def test_a_nonce_of_another_address_is_stale():
    relay = Relay()
    client, other = Client(relay, 4000), Client(relay, 4001)
    client.nonce = other.nonce
    assert error_of(client.request(Method.ALLOCATE, WANT_UDP)) == 438


def test_a_nonce_given_in_advance_saves_the_challenge():
    relay = Relay()
    client = Client(relay)
    client.nonce = relay.nonces.issue_in_advance(b"123", relay.now_wall)
    assert error_of(client.request(Method.ALLOCATE, WANT_UDP)) == 0


@pytest.mark.parametrize("algorithm", list(IntegrityAlgorithm))
def test_answers_carry_the_integrity_that_the_request_carried(algorithm):
    client = Client(Relay(), integrity=algorithm)
    answer = client.request(Method.ALLOCATE, WANT_UDP)
    assert error_of(answer) == 0
    assert bool(answer.integrity_sha256_at) == (algorithm is IntegrityAlgorithm.SHA256)


def test_time_limited_credentials_make_allocations_until_they_expire_and_keep_them_after():
    relay = Relay()
    name = f"{int(WALL_AT_START) + 100}:peer"
    client = Client(relay, username=name, password=rest_password(SECRET, name))
    client.allocate()
    relay.advance(200)
    assert error_of(client.refresh()) == 0
    assert error_of(client.permit()) == 0
    late = Client(relay, 4001, username=name, password=rest_password(SECRET, name))
    assert error_of(late.request(Method.ALLOCATE, WANT_UDP)) == 401


def test_another_user_cannot_touch_an_allocation():
    relay = Relay()
    client = Client(relay)
    client.allocate()
    thief = Client(relay, username="bob")
    for answer in (thief.refresh(), thief.permit(), thief.release()):
        assert error_of(answer) == 441
    assert error_of(thief.request(Method.ALLOCATE, WANT_UDP)) == 437
    assert len(relay.server.table) == 1


def test_attributes_that_must_be_understood_and_are_not_are_named_after_authentication():
    client = Client(Relay())
    assert error_of(client.plain(Method.ALLOCATE, WANT_UDP, PRIORITY(1))) == 401
    answer = client.request(Method.ALLOCATE, WANT_UDP, PRIORITY(1))
    assert error_of(answer) == 420
    assert answer.get(UNKNOWN_ATTRIBUTES) == (0x0024,)
    assert answer.has_integrity


def test_a_binding_request_is_answered_plainly():
    client = Client(Relay())
    answer = client.plain(Method.BINDING)
    assert answer.get(XOR_MAPPED_ADDRESS) == client.five_tuple.client
    assert error_of(client.plain(Method.BINDING, PRIORITY(1))) == 420


def test_a_fingerprint_is_answered_with_a_fingerprint():
    client = Client(Relay())
    request = encode(Message(MessageClass.REQUEST, Method.BINDING, bytes(12)), fingerprint=True)
    assert client.raw(request).get(FINGERPRINT) is not None
    assert client.plain(Method.BINDING).get(FINGERPRINT) is None


def test_strangers_get_no_more_than_they_send_after_the_start():
    relay = Relay(strangers=StrangerLimit(burst_bytes=500, bytes_per_s=0))
    client = Client(relay)
    answers = [client.plain(Method.ALLOCATE, WANT_UDP) for _ in range(200)]
    sent = sum(len(answer.raw) for answer in answers if answer is not None)
    assert sent <= 200 * 28 + 500
    assert relay.counters.drops[Drop.UNAUTHENTICATED_LIMIT] == answers.count(None) > 0


@pytest.mark.parametrize("per_s", [20, 100, 1000])
def test_a_flood_gets_no_more_bytes_back_than_it_costs_once_the_start_is_used_up(per_s):
    relay = Relay()
    client = Client(relay)

    def send(count: int, every_s: float) -> tuple[int, int]:
        sent = answered = 0
        for _ in range(count):
            relay.advance(every_s)
            answer = client.plain(Method.ALLOCATE, WANT_UDP)
            sent, answered = sent + 28, answered + len(answer.raw if answer is not None else b"")
        return sent, answered

    sent, answered = send(2000, 0.0)
    assert answered <= sent + RELAY_STRANGER_BURST_BYTES
    sent, answered = send(5 * per_s, 1 / per_s)
    trickle = 5 * RELAY_STRANGER_BYTES_PER_S
    assert 0.9 * min(3 * sent, max(sent, trickle)) <= answered <= max(sent, trickle) + 88


def test_a_tcp_client_has_proven_its_address():
    relay = Relay(strangers=StrangerLimit(burst_bytes=0, bytes_per_s=0))
    client = Client(relay, transport=ClientTransport.TCP)
    assert error_of(client.plain(Method.ALLOCATE, WANT_UDP)) == 401


def test_a_known_client_is_served_when_strangers_at_its_address_used_up_the_budget():
    relay = Relay(strangers=StrangerLimit(burst_bytes=300, bytes_per_s=0))
    client = Client(relay)
    client.allocate()
    stranger = Client(relay, 4001)
    for _ in range(100):
        stranger.plain(Method.ALLOCATE, WANT_UDP)
    assert error_of(client.refresh()) == 0


@pytest.mark.parametrize("kind", [MessageClass.SUCCESS, MessageClass.ERROR])
def test_responses_are_not_for_a_server(kind):
    relay = Relay()
    assert Client(relay).raw(encode(Message(kind, Method.ALLOCATE, bytes(12)))) is None
    assert relay.counters.drops[Drop.UNSUPPORTED] == 1


@pytest.mark.parametrize("method", [Method.CONNECTION_ATTEMPT, Method.SEND, Method.DATA, 0x7FF])
def test_methods_of_others_are_ignored(method):
    relay = Relay()
    assert Client(relay).plain(method) is None
    assert relay.counters.drops[Drop.UNSUPPORTED] == 1


def test_a_classic_request_is_not_for_a_relay():
    relay = Relay()
    assert Client(relay).raw(encode(Message(MessageClass.REQUEST, Method.BINDING, bytes(16)))) is None


def test_the_address_that_a_client_is_told_is_the_public_one():
    client = Client(Relay())
    answer = client.request(Method.ALLOCATE, WANT_UDP)
    assert answer.get(XOR_RELAYED_ADDRESS).host == "198.51.100.20"
    assert answer.get(XOR_MAPPED_ADDRESS) == TransportAddress("203.0.113.7", 4000)
