import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p.errors import DecodeError, IntegrityError
from p2p.gather.nat_cache import decode_networks_untrusted
from p2p.proto.stun.allocation import PortAllocation, PortSample, judge_allocation
from p2p.proto.stun.behaviour import BehaviourDiscovery
from p2p.proto.stun.client import BindingClient
from p2p.proto.stun.integrity import IntegrityAlgorithm, verify
from p2p.proto.stun.lifetime import LifetimeSearch
from p2p.proto.stun.message import Message, MessageClass, Method, decode_untrusted, encode
from p2p.proto.stun.responder import BindingResponder
from tests.support.nat_box import LOCAL, SERVER, transaction_ids
from tests.support.stun_strategies import addresses, classic_messages, entries, messages


@given(st.one_of(messages, classic_messages))
def test_decoding_undoes_encoding(message):
    assert decode_untrusted(encode(message)) == message


@given(messages, st.binary(min_size=1, max_size=64), st.sampled_from(IntegrityAlgorithm), st.booleans())
def test_integrity_and_fingerprint_verify(message, key, algorithm, fingerprint):
    decoded = decode_untrusted(encode(message, integrity_key=key, integrity=algorithm, fingerprint=fingerprint))
    verify(decoded, key, algorithm)
    assert decoded.attributes[: len(message.attributes)] == message.attributes
    assert len(decoded.attributes) == len(message.attributes) + 1 + fingerprint


@given(messages, st.binary(min_size=1, max_size=64), st.data())
def test_no_changed_bit_passes(message, key, data):
    raw = bytearray(encode(message, integrity_key=key))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises((DecodeError, IntegrityError)):
        verify(decode_untrusted(bytes(raw)), key)


@given(st.one_of(messages, classic_messages).map(encode), st.data())
def test_any_change_gives_a_message_or_a_decode_error(raw, data):
    changed = bytearray(raw)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    try:
        message = decode_untrusted(bytes(changed))
    except DecodeError:
        return
    assert message.raw == changed


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_a_decode_error(data):
    with suppress(DecodeError):
        decode_untrusted(data)


@given(
    st.one_of(messages, classic_messages),
    st.booleans(),
    st.integers(1, 4),
    addresses,
    st.booleans(),
)
def test_responder_answers_binding_requests_only_and_never_much_longer(message, as_request, count, source, reliable):
    if as_request:
        message = type(message)(MessageClass.REQUEST, Method.BINDING, message.transaction_id, message.attributes)
    data = encode(message)
    reply = BindingResponder(SERVER[:count]).respond(data, source, SERVER[0], reliable=reliable)
    is_request = message.message_class is MessageClass.REQUEST and message.method == Method.BINDING
    if reply is None:
        return
    assert is_request
    assert reply.destination.host == source.host
    assert reply.local in SERVER[:count]
    assert len(reply.data) <= len(data) + 72
    assert decode_untrusted(reply.data).transaction_id == message.transaction_id


@given(st.lists(st.tuples(st.sampled_from(MessageClass), st.lists(entries, max_size=4), st.integers(0, 1)), max_size=8))
def test_no_answer_breaks_the_machines(answers):
    client = BindingClient(SERVER[0], transaction_ids())
    discovery = BehaviourDiscovery(SERVER[:1], LOCAL, transaction_ids())
    client.start(0.0)
    discovery.start(0.0)
    for number, (message_class, attributes, socket) in enumerate(answers, 1):
        for sent in (*client.datagrams_to_send(number), *discovery.datagrams_to_send(number)):
            request = decode_untrusted(sent.data)
            answer = type(request)(message_class, Method.BINDING, request.transaction_id, tuple(attributes))
            client.receive_datagram(encode(answer), SERVER[0], number)
            discovery.receive_datagram(encode(answer), SERVER[0], number, socket)
    now = 10.0
    for machine in (client, discovery):
        while (timer := machine.get_timer()) is not None:
            now = max(now, timer)
            machine.handle_timer(now)
    assert discovery.is_done
    assert client.next_event() is not None


@given(
    st.lists(st.tuples(st.sampled_from(MessageClass), st.lists(entries, max_size=4), st.integers(0, 3)), max_size=12)
)
def test_no_answer_breaks_the_search_for_the_lifetime(answers):
    search = LifetimeSearch(SERVER[0], transaction_ids(), limit_s=30.0)
    search.start(0.0)
    now = 0.0
    for message_class, attributes, socket in answers:
        for sent in search.datagrams_to_send(now):
            answer = Message(
                message_class, Method.BINDING, decode_untrusted(sent.data).transaction_id, tuple(attributes)
            )
            search.receive_datagram(encode(answer), SERVER[0], now, socket)
        timer = search.get_timer()
        now = now if timer is None else max(now, timer)
        search.handle_timer(now)
    while (timer := search.get_timer()) is not None:
        now = max(now, timer)
        search.handle_timer(now)
    assert search.result.is_done
    assert now < 120.0


@given(
    st.binary(max_size=300)
    | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps).map(str.encode)
)
def test_any_file_of_networks_is_read_or_refused(data):
    with suppress(DecodeError):
        decode_networks_untrusted(data, 1_800_000_000.0)


@given(st.lists(st.tuples(st.integers(1, 65535), st.integers(1, 65535)), max_size=20))
def test_any_ports_have_a_verdict(ports):
    verdict = judge_allocation([PortSample(*both) for both in ports])
    assert (verdict.step is not None) is (verdict.kind is PortAllocation.SEQUENTIAL)
    assert verdict.step != 0
