"""Knocking: pieces go again until they are answered, and then no more."""

from __future__ import annotations

import os

import pytest

from p2p.address import TransportAddress
from p2p.defaults import KNOCK_WAITS_S
from p2p.proto.signalling.knocker import KnockAnswered, Knocker
from p2p.proto.stun.attributes import KNOCK, KNOCK_TAKEN, XOR_MAPPED_ADDRESS
from p2p.proto.stun.message import Message, decode_untrusted, encode

SERVER = TransportAddress("192.0.2.1", 3478)
MAPPED = TransportAddress("198.51.100.7", 40_000)


@pytest.fixture
def knocker() -> Knocker:
    knocker = Knocker(SERVER, (b"one", b"two"), os.urandom)
    knocker.start(1.0)
    return knocker


def sent(knocker: Knocker, now: float = 1.0) -> list[Message]:
    return [decode_untrusted(datagram.data) for datagram in knocker.datagrams_to_send(now)]


def answer(request: Message, *, is_taken: bool = False) -> bytes:
    taken = (KNOCK_TAKEN(b""),) if is_taken else ()
    return encode(request.success_response(XOR_MAPPED_ADDRESS(MAPPED), *taken))


def test_the_answer_tells_our_address_and_that_the_knock_was_taken(knocker: Knocker) -> None:
    first, second = sent(knocker)
    assert (first.get(KNOCK), second.get(KNOCK)) == (b"one", b"two")
    assert knocker.receive_datagram(answer(first), SERVER, 1.04)
    assert knocker.receive_datagram(answer(second, is_taken=True), SERVER, 1.04)
    assert knocker.next_event() == KnockAnswered(MAPPED, is_taken=False)
    assert knocker.next_event() == KnockAnswered(MAPPED, is_taken=True)
    assert knocker.next_event() is None
    assert knocker.get_timer() is None


def test_what_is_not_answered_goes_again(knocker: Knocker) -> None:
    first, second = sent(knocker)
    assert knocker.receive_datagram(answer(first), SERVER, 1.01)
    knocker.handle_timer(1.01)
    assert not sent(knocker)
    timer = knocker.get_timer()
    assert timer == pytest.approx(1.0 + KNOCK_WAITS_S[0])
    knocker.handle_timer(timer)
    assert sent(knocker) == [second]


def test_silence_ends_it(knocker: Knocker) -> None:
    count = len(sent(knocker))
    while (timer := knocker.get_timer()) is not None:
        knocker.handle_timer(timer)
        count += len(sent(knocker))
    assert count == 2 * (1 + len(KNOCK_WAITS_S))


def test_others_are_not_heard(knocker: Knocker) -> None:
    first, _ = sent(knocker)
    assert not knocker.receive_datagram(answer(first), MAPPED, 1.04)
    assert not knocker.receive_datagram(b"\0" * 40, SERVER, 1.04)
    assert not knocker.receive_datagram(encode(first), SERVER, 1.04)
    assert not knocker.receive_datagram(encode(first.error_response(400, "no")), SERVER, 1.04)
    data = bytearray(answer(first))
    data[12] ^= 1
    assert not knocker.receive_datagram(bytes(data), SERVER, 1.04)
    assert knocker.next_event() is None


def test_an_answer_without_an_address_is_none(knocker: Knocker) -> None:
    first, _ = sent(knocker)
    assert knocker.receive_datagram(encode(first.success_response()), SERVER, 1.04)
    assert knocker.next_event() is None
