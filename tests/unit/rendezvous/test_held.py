"""Answers to knocks wait for a login, few of them, for seconds, and only where somebody has knocked."""

from __future__ import annotations

import pytest

from p2p import defaults
from p2p.identity import Identity
from rendezvous.core import held as held_module
from rendezvous.core.held import HeldAnswers
from rendezvous.core.registry import Seat

HOST = Seat(Identity.from_seed(b"b" * 32).peer_id, "web")
GUEST = Seat(Identity.from_seed(b"a" * 32).peer_id, "connect-1")
OTHER = Seat(Identity.from_seed(b"e" * 32).peer_id)
NONCE = bytes(32)


@pytest.fixture
def held() -> HeldAnswers:
    held = HeldAnswers()
    held.expect(NONCE, HOST, 0.0)
    return held


def test_they_come_in_order_and_once(held: HeldAnswers) -> None:
    assert held.hold(NONCE, HOST, GUEST, b"answer", 1.0)
    assert held.hold(NONCE, HOST, GUEST, b"news", 1.0)
    assert held.collect(OTHER, 1.0) == []
    assert held.collect(GUEST, 1.0) == [b"answer", b"news"]
    assert held.collect(GUEST, 1.0) == []
    assert not held._guests
    assert held._held_bytes == 0


def test_only_whom_the_knock_was_for_may_answer_and_one_guest_only(held: HeldAnswers) -> None:
    assert not held.hold(NONCE, OTHER, GUEST, b"x", 1.0)
    assert not held.hold(b"1" * 32, HOST, GUEST, b"x", 1.0)
    assert held.hold(NONCE, HOST, GUEST, b"x", 1.0)
    assert not held.hold(NONCE, HOST, OTHER, b"x", 1.0)


def test_they_are_forgotten(held: HeldAnswers) -> None:
    assert held.hold(NONCE, HOST, GUEST, b"x", 1.0)
    late = defaults.KNOCK_HOLD_S
    held.expect(b"2" * 32, HOST, late / 2)
    assert held.collect(GUEST, late) == []
    assert not held.hold(NONCE, HOST, GUEST, b"x", late)
    assert held.hold(b"2" * 32, HOST, GUEST, b"x", late)
    assert held._held_bytes == 1


def test_two_knocks_of_one_guest_are_answered_both(held: HeldAnswers) -> None:
    held.expect(b"2" * 32, HOST, 1.0)
    assert held.hold(NONCE, HOST, GUEST, b"one", 1.0)
    assert held.hold(b"2" * 32, HOST, GUEST, b"two", 1.0)
    held.collect(OTHER, defaults.KNOCK_HOLD_S)
    assert held.collect(GUEST, defaults.KNOCK_HOLD_S) == [b"two"]


def test_they_are_few(held: HeldAnswers, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [held.hold(NONCE, HOST, GUEST, b"x", 1.0) for _ in range(defaults.KNOCK_HELD_MESSAGES + 1)] == [
        *[True] * defaults.KNOCK_HELD_MESSAGES,
        False,
    ]
    held.expect(b"2" * 32, HOST, 1.0)
    assert not held.hold(b"2" * 32, HOST, OTHER, bytes(defaults.KNOCK_HELD_BYTES_EACH + 1), 1.0)
    monkeypatch.setattr(held_module, "KNOCK_HELD_BYTES", defaults.KNOCK_HELD_MESSAGES)
    assert not held.hold(b"2" * 32, HOST, OTHER, b"x", 1.0)
    held.collect(GUEST, 1.0)
    assert held.hold(b"2" * 32, HOST, OTHER, b"x", 1.0)
