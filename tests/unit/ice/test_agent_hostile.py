"""The agent against the wrong, the forged and the too many."""

import random

import pytest

from p2p import defaults
from p2p.address import TransportAddress
from p2p.errors import DecodeError
from p2p.proto.ice import (
    Credentials,
    IceAgent,
    PairFailed,
    PairFailure,
    PairState,
    PairValidated,
    receiver_fragment_untrusted,
)
from p2p.proto.ice.messages import check_request
from p2p.proto.stun.attributes import ERROR_CODE, UNKNOWN_ATTRIBUTES, USERNAME, XOR_MAPPED_ADDRESS
from p2p.proto.stun.integrity import short_term_key
from p2p.proto.stun.message import Message, MessageClass, Method, decode_untrusted, encode
from tests.unit.ice.duo import Duo, host, relayed, signalled

STRANGER = TransportAddress("203.0.113.66", 666)


def check_for(duo, *, password=None, ufrag=None, controlling=True, tie_breaker=1, priority=1 << 30):
    """A check as the peer of ``duo.b`` would make it."""
    ours = duo.b.agent.local_credentials
    return check_request(
        duo.random.randbytes(12),
        local=duo.a.agent.local_credentials,
        remote=Credentials(ufrag or ours.ufrag, password or ours.password),
        priority=priority,
        controlling=controlling,
        tie_breaker=tie_breaker,
    )


def ready():
    duo = Duo()
    duo.simple()
    return duo


def test_a_check_with_a_wrong_password_is_dropped_and_counted():
    duo = ready()
    assert duo.b.agent.receive_stun(check_for(duo, password="x" * 24), STRANGER, 0, duo.now)
    assert duo.b.agent.counters.wrong_credentials == 1
    assert all(transmit.destination != STRANGER for transmit in duo.b.agent.transmits(duo.now))
    assert all(pair.remote.address != STRANGER for pair in duo.b.agent.check_list)


def test_a_check_for_someone_else_is_left_to_them():
    duo = ready()
    assert not duo.b.agent.receive_stun(check_for(duo, ufrag="someone"), STRANGER, 0, duo.now)


def test_a_plain_stun_request_is_left_to_others():
    duo = ready()
    request = encode(Message(MessageClass.REQUEST, Method.BINDING, bytes(12)))
    assert not duo.b.agent.receive_stun(request, STRANGER, 0, duo.now)
    indication = encode(Message(MessageClass.INDICATION, Method.BINDING, bytes(12)))
    assert not duo.b.agent.receive_stun(indication, STRANGER, 0, duo.now)
    allocate = encode(Message(MessageClass.REQUEST, Method.ALLOCATE, bytes(12)))
    assert not duo.b.agent.receive_stun(allocate, STRANGER, 0, duo.now)


@pytest.mark.parametrize("data", [b"", b"\x00" * 20, b"\x40quic", b"\x00\x01\x00\x08\x21\x12\xa4\x42" + bytes(12)])
def test_what_is_no_stun_is_left_to_others(data):
    duo = ready()
    assert not duo.b.agent.receive_stun(data, STRANGER, 0, duo.now)


def test_a_check_on_an_unknown_transport_is_ignored():
    duo = ready()
    assert not duo.b.agent.receive_stun(check_for(duo), STRANGER, 5, duo.now)


def test_an_unknown_required_attribute_is_answered_with_420():
    duo = ready()
    check = decode_untrusted(check_for(duo))
    plain = encode(Message(check.message_class, check.method, check.transaction_id, check.attributes[:3]))
    strange = plain[:20] + b"\x00\x77\x00\x04abcd" + plain[20:]
    body = strange[:2] + (len(strange) - 20).to_bytes(2, "big") + strange[4:]
    message = decode_untrusted(body)
    assert message.unknown_required == (0x77,)
    signed = _sign(body, duo.b.agent.local_credentials.password)
    assert duo.b.agent.receive_stun(signed, STRANGER, 0, duo.now)
    answer = decode_untrusted(next(t.data for t in duo.b.agent.transmits(duo.now) if t.destination == STRANGER))
    assert answer.get(ERROR_CODE).code == 420
    assert answer.get(UNKNOWN_ATTRIBUTES) == (0x77,)


def _sign(data, password):
    """Append MESSAGE-INTEGRITY by hand, as the encoder would not write what it does not know."""
    import hashlib
    import hmac

    length = len(data) - 20 + 24
    covered = data[:2] + length.to_bytes(2, "big") + data[4:]
    digest = hmac.new(short_term_key(password), covered, hashlib.sha1).digest()
    return covered + b"\x00\x08\x00\x14" + digest


def test_a_check_without_priority_is_answered_with_400():
    duo = ready()
    ours = duo.b.agent.local_credentials
    request = Message(MessageClass.REQUEST, Method.BINDING, bytes(12), (USERNAME(f"{ours.ufrag}:peer"),))
    data = encode(request, integrity_key=short_term_key(ours.password), fingerprint=True)
    assert duo.b.agent.receive_stun(data, STRANGER, 0, duo.now)
    answer = decode_untrusted(next(t.data for t in duo.b.agent.transmits(duo.now) if t.destination == STRANGER))
    assert answer.get(ERROR_CODE).code == 400
    assert duo.b.agent.counters.malformed == 1


def first_check(duo):
    transmit = duo.a.agent.transmits(duo.now)[0]
    return decode_untrusted(transmit.data), transmit.destination


def answered(request, password, *attributes):
    return encode(request.success_response(*attributes), integrity_key=short_term_key(password), fingerprint=True)


def test_an_answer_from_elsewhere_fails_the_pair():
    duo = ready()
    request, _ = first_check(duo)
    password = duo.b.agent.local_credentials.password
    answer = answered(request, password, XOR_MAPPED_ADDRESS(STRANGER))
    assert duo.a.agent.receive_stun(answer, STRANGER, 0, duo.now)
    duo.collect(duo.a)
    assert [event.failure for event in duo.a.of(PairFailed)] == [PairFailure.ASYMMETRIC]
    assert duo.a.agent.counters.asymmetric == 1


def test_an_answer_on_another_transport_fails_the_pair():
    duo = ready()
    duo.a.agent.add_base(host("10.0.0.9:9", base_id=9))
    request, destination = first_check(duo)
    answer = answered(request, duo.b.agent.local_credentials.password, XOR_MAPPED_ADDRESS(STRANGER))
    assert duo.a.agent.receive_stun(answer, destination, 9, duo.now)
    assert duo.a.agent.check_list[0].state is PairState.FAILED


def test_an_asymmetric_answer_does_not_fail_a_valid_pair():
    duo = ready()
    duo.run(0.2)
    duo.a.agent.ping(duo.a.agent.check_list[0], duo.now)
    request, _ = first_check(duo)
    answer = answered(request, duo.b.agent.local_credentials.password, XOR_MAPPED_ADDRESS(STRANGER))
    assert duo.a.agent.receive_stun(answer, STRANGER, 0, duo.now)
    assert duo.a.agent.check_list[0].state is PairState.SUCCEEDED
    assert duo.a.agent.counters.asymmetric == 1


@pytest.mark.parametrize("password", [None, "w" * 24])
def test_an_answer_without_the_right_integrity_is_dropped_and_the_true_one_still_counts(password):
    duo = ready()
    request, destination = first_check(duo)
    response = request.success_response(XOR_MAPPED_ADDRESS(STRANGER))
    key = None if password is None else short_term_key(password)
    assert duo.a.agent.receive_stun(encode(response, integrity_key=key), destination, 0, duo.now)
    assert duo.a.agent.counters.wrong_credentials == 1
    assert duo.a.agent.check_list[0].state is PairState.IN_PROGRESS
    true = answered(request, duo.b.agent.local_credentials.password, XOR_MAPPED_ADDRESS(STRANGER))
    assert duo.a.agent.receive_stun(true, destination, 0, duo.now)
    assert duo.a.agent.check_list[0].state is PairState.SUCCEEDED


def test_an_answer_is_taken_once():
    duo = ready()
    request, destination = first_check(duo)
    answer = answered(request, duo.b.agent.local_credentials.password, XOR_MAPPED_ADDRESS(STRANGER))
    assert duo.a.agent.receive_stun(answer, destination, 0, duo.now)
    assert not duo.a.agent.receive_stun(answer, destination, 0, duo.now)


def test_an_answer_without_address_is_malformed():
    duo = ready()
    request, destination = first_check(duo)
    assert duo.a.agent.receive_stun(answered(request, duo.b.agent.local_credentials.password), destination, 0, duo.now)
    assert duo.a.agent.counters.malformed == 1
    assert duo.a.agent.check_list[0].state is PairState.IN_PROGRESS


def test_a_refusal_fails_the_pair():
    duo = ready()
    request, destination = first_check(duo)
    key = short_term_key(duo.b.agent.local_credentials.password)
    refusal = encode(request.error_response(403, "Forbidden"), integrity_key=key)
    assert duo.a.agent.receive_stun(refusal, destination, 0, duo.now)
    duo.collect(duo.a)
    assert [event.failure for event in duo.a.of(PairFailed)] == [PairFailure.REJECTED]


def test_a_flood_of_sources_is_bounded():
    duo = ready()
    duo.run(0.2)
    check = check_for(duo)
    for number in range(500):
        source = TransportAddress(f"203.0.113.{number % 250 + 1}", 1000 + number)
        assert duo.b.agent.receive_stun(check, source, 0, duo.now)
    agent = duo.b.agent
    assert len(agent.remote_candidates) <= defaults.ICE_MAX_LEARNED_CANDIDATES + 1
    assert len(agent.check_list) <= defaults.ICE_MAX_LEARNED_CANDIDATES + 1
    assert agent.counters.no_room > 400
    assert duo.b.of(PairValidated)[0].pair in agent.check_list
    agent.transmits(duo.now)
    sent = 0
    for tick in range(1000):
        now = duo.now + tick / 1000
        agent.handle_timer(now)
        sent += len(agent.transmits(now))
    assert sent <= 1 / defaults.ICE_PACING_S + 1


def test_a_flood_of_candidates_is_bounded():
    duo = Duo()
    for base_id in range(3):
        duo.local(duo.a, host(f"10.0.0.{base_id + 1}:1000", base_id=base_id))
    for port in range(1, 1000):
        duo.a.agent.add_remote_candidate(signalled(host(f"10.0.9.9:{port}")))
    assert len(duo.a.agent.remote_candidates) == defaults.ICE_MAX_REMOTE_CANDIDATES
    assert len(duo.a.agent.check_list) == defaults.ICE_MAX_PAIRS
    assert duo.a.agent.counters.no_room


def test_events_nobody_takes_are_bounded():
    duo = ready()
    duo.run(0.1)
    check = check_for(duo)
    for _ in range(defaults.ICE_MAX_EVENTS * 2):
        duo.b.agent.receive_stun(check, TransportAddress("10.0.0.1", 1000), 0, duo.now)
    assert duo.b.agent.counters.events >= defaults.ICE_MAX_EVENTS
    taken = 0
    while duo.b.agent.next_event() is not None:
        taken += 1
    assert taken == defaults.ICE_MAX_EVENTS


def test_relay_only_neither_tries_nor_answers_direct_pairs():
    rng = random.Random(3)
    agent = IceAgent(
        local=Credentials.generate(rng.randbytes), controlling=True, random_bytes=rng.randbytes, relay_only=True
    )
    agent.add_local_candidate(host("10.0.0.1:1000", base_id=0))
    agent.add_local_candidate(relayed("192.0.2.1:1000", base_id=1))
    agent.add_remote_candidate(signalled(host("10.0.0.2:2000")))
    agent.add_remote_candidate(signalled(relayed("192.0.2.2:2000")))
    assert {(pair.key.base_id, pair.remote.address.port) for pair in agent.check_list} == {(0, 2000), (1, 2000)}
    assert all(pair.relayed for pair in agent.check_list)
    peer = Credentials.generate(rng.randbytes)

    def check(priority):
        return check_request(
            rng.randbytes(12),
            local=peer,
            remote=agent.local_credentials,
            priority=priority,
            controlling=False,
            tie_breaker=1,
        )

    assert agent.receive_stun(check(1 << 30), TransportAddress("10.0.0.2", 2000), 0, 1.0)
    assert agent.transmits(1.0) == []
    assert agent.counters.not_allowed == 1
    assert agent.receive_stun(check(1000), STRANGER, 0, 1.0)
    assert [transmit.destination for transmit in agent.transmits(1.0)] == [STRANGER]
    assert agent.receive_stun(check(1 << 30), STRANGER, 1, 1.0)
    assert len(agent.transmits(1.0)) == 1


def test_the_receiver_of_a_check_can_be_told():
    duo = ready()
    assert receiver_fragment_untrusted(check_for(duo)) == duo.b.agent.local_credentials.ufrag
    for data in (b"", b"\x40quic", encode(Message(MessageClass.REQUEST, Method.BINDING, bytes(12)))):
        with pytest.raises(DecodeError):
            receiver_fragment_untrusted(data)
    with pytest.raises(DecodeError):
        receiver_fragment_untrusted(encode(Message(MessageClass.SUCCESS, Method.BINDING, bytes(12))))
