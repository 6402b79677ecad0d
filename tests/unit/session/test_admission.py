"""How many offers an exposer takes."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from p2p import defaults
from p2p.errors import IntegrityError
from p2p.identity import Identity, PeerId
from p2p.session.access import AccessRefusedError
from p2p.session.admission import OfferAdmission

ALICE = Identity.from_seed(bytes(32)).peer_id
BOB = Identity.from_seed(b"b" * 32).peer_id


@dataclass
class Session:
    """As much of a session as is counted."""

    peer: PeerId
    is_established: bool = False


def session_id(number: int) -> str:
    return f"{number:032x}"


def test_an_offer_is_taken_once() -> None:
    admission = OfferAdmission()
    admission.check(session_id(1), ALICE, [], now=0.0)
    admission.check(session_id(2), ALICE, [], now=0.0)
    with pytest.raises(IntegrityError):
        admission.check(session_id(1), ALICE, [], now=2 * defaults.SEALED_MAX_SKEW_S - 1)


def test_memory_of_offers_ends_when_their_signals_are_too_old_anyway() -> None:
    admission = OfferAdmission()
    admission.check(session_id(1), ALICE, [], now=0.0)
    admission.check(session_id(1), ALICE, [], now=2 * defaults.SEALED_MAX_SKEW_S + 1)


def test_memory_of_offers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("p2p.session.admission.SEALED_REMEMBERED", 10)
    admission = OfferAdmission()
    for number in range(100):
        admission.check(session_id(number), ALICE, [], now=0.0)
    assert len(admission._seen) == 10


def test_one_peer_cannot_keep_all_others_out() -> None:
    admission = OfferAdmission()
    opening = [Session(ALICE)] * defaults.SESSIONS_OPENING_PER_PEER
    with pytest.raises(AccessRefusedError):
        admission.check(session_id(1), ALICE, opening, now=0.0)
    admission.check(session_id(2), BOB, opening, now=0.0)
    established = [Session(ALICE, is_established=True)] * defaults.SESSIONS_PER_PEER
    with pytest.raises(AccessRefusedError):
        admission.check(session_id(3), ALICE, established, now=0.0)
    admission.check(session_id(4), BOB, established, now=0.0)


@pytest.mark.parametrize("is_established", [True, False])
def test_sessions_are_bounded_in_all(is_established: bool) -> None:
    admission = OfferAdmission()
    peers = [Identity.from_seed(number.to_bytes(32, "big")).peer_id for number in range(1, 66)]
    limit = defaults.SESSIONS_MAX if is_established else defaults.SESSIONS_OPENING_MAX
    sessions = [Session(peers[number % len(peers)], is_established=is_established) for number in range(limit)]
    with pytest.raises(AccessRefusedError):
        admission.check(session_id(1), ALICE, sessions, now=0.0)


def test_strangers_are_answered_less_than_the_rendezvous_would_bear() -> None:
    admission = OfferAdmission()
    answered = sum(admission.may_reply(second / 100) for second in range(6000))
    assert answered <= defaults.REPLIES_BURST + 60 * defaults.REPLIES_PER_S
    assert defaults.REPLIES_PER_S <= defaults.RENDEZVOUS_MESSAGES_PER_S / 4
    assert defaults.REPLIES_BURST <= defaults.RENDEZVOUS_MESSAGE_BURST / 4
