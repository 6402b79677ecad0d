import contextlib

import pytest

from p2p.identity import Identity
from p2p.proto.signalling.codes import SignallingCode
from p2p.proto.signalling.messages import Login, login_transcript
from rendezvous.core.login import LoginChallenge
from rendezvous.core.refusal import Refusal
from rendezvous.core.registry import Seat

ALICE = Identity.from_seed(b"a" * 32)
EVE = Identity.from_seed(b"e" * 32)
NONCE = bytes(range(32))
HOST = "rv.example.com"


def login(*, signer: Identity = ALICE, nonce: bytes = NONCE, host: str = HOST, version: int = 1) -> Login:
    transcript = login_transcript(nonce, bytes(ALICE.peer_id), host)
    return Login(version=version, peer=str(ALICE.peer_id), signature=signer.sign(transcript), host=host)


def code_of(answer: Login, names: frozenset[str] = frozenset({HOST})) -> SignallingCode:
    with pytest.raises(Refusal) as caught:
        LoginChallenge(NONCE, names).verify(answer)
    return caught.value.wire_code


def test_the_owner_of_the_key_logs_in() -> None:
    challenge = LoginChallenge(NONCE, frozenset({HOST}))
    assert challenge.message().nonce == NONCE
    assert challenge.verify(login()) == Seat(ALICE.peer_id)


def test_a_stranger_cannot_name_the_key() -> None:
    assert code_of(login(signer=EVE)) is SignallingCode.BAD_SIGNATURE


def test_a_signature_for_another_challenge_is_refused() -> None:
    assert code_of(login(nonce=bytes(32))) is SignallingCode.BAD_SIGNATURE


def test_a_login_that_was_signed_for_another_server_is_refused() -> None:
    assert code_of(login(host="evil.example.com")) is SignallingCode.WRONG_HOST
    relabelled = Login(version=1, peer=str(ALICE.peer_id), signature=login(host="evil").signature, host=HOST)
    assert code_of(relabelled) is SignallingCode.BAD_SIGNATURE


def test_a_server_without_names_takes_any_host() -> None:
    assert LoginChallenge(NONCE, frozenset()).verify(login(host="localhost")) == Seat(ALICE.peer_id)


def test_the_hosts_case_and_final_dot_do_not_matter() -> None:
    assert LoginChallenge(NONCE, frozenset({HOST})).verify(login(host="RV.example.com.")) == Seat(ALICE.peer_id)


def test_another_version_is_refused() -> None:
    assert code_of(login(version=2)) is SignallingCode.UNSUPPORTED_VERSION


@pytest.mark.parametrize("first", [login(), login(signer=EVE)])
def test_a_challenge_is_answered_once(first: Login) -> None:
    challenge = LoginChallenge(NONCE, frozenset())
    with contextlib.suppress(Refusal):
        challenge.verify(first)
    with pytest.raises(Refusal) as caught:
        challenge.verify(login())
    assert caught.value.wire_code is SignallingCode.UNEXPECTED


def test_what_is_no_peer_id_is_a_bad_signature() -> None:
    odd = Login(version=1, peer="a" * 51 + "b", signature=bytes(64), host=HOST)
    assert code_of(odd) is SignallingCode.BAD_SIGNATURE


def test_the_instance_is_signed_too() -> None:
    transcript = login_transcript(NONCE, bytes(ALICE.peer_id), HOST, "b1")
    signed = Login(version=1, peer=str(ALICE.peer_id), signature=ALICE.sign(transcript), host=HOST, instance="b1")
    assert LoginChallenge(NONCE, frozenset()).verify(signed) == (ALICE.peer_id, "b1")
    moved = Login(version=1, peer=str(ALICE.peer_id), signature=signed.signature, host=HOST, instance="b2")
    assert code_of(moved) is SignallingCode.BAD_SIGNATURE
