import base64
import os

import msgspec
import pytest

from p2p.defaults import EARLY_LOGIN_SKEW_S
from p2p.errors import DecodeError
from p2p.identity import Identity
from p2p.proto.signalling import early_login
from p2p.proto.signalling.messages import Bye, Login, encode, login_transcript
from rendezvous.core.login import EarlyLogins
from rendezvous.core.registry import Seat

ALICE = Identity.from_seed(b"a" * 32)
EVE = Identity.from_seed(b"e" * 32)
HOST = "rv.example.com"
NAMES = frozenset({HOST})
NOW = 1_800_000_000.0


def login(*, signer: Identity = ALICE, made_wall: float = NOW, host: str = HOST, version: int = 1) -> Login:
    nonce = early_login.make_nonce(made_wall, os.urandom)
    signed = login_transcript(nonce, bytes(ALICE.peer_id), host, "b1", is_early=True)
    return Login(
        version=version,
        peer=str(ALICE.peer_id),
        signature=signer.sign(signed),
        host=host,
        instance="b1",
        token="secret",
        nonce=nonce,
    )


def taken(message: Login, *, logins: EarlyLogins | None = None, now_wall: float = NOW) -> Seat | None:
    return (logins or EarlyLogins(NOW - 1000)).verify(message, names=NAMES, now_wall=now_wall)


def test_the_owner_of_the_key_is_in_with_the_upgrade() -> None:
    assert taken(login()) == Seat(ALICE.peer_id, "b1")


def test_each_login_is_taken_once() -> None:
    logins = EarlyLogins(NOW - 1000)
    message = login()
    assert taken(message, logins=logins)
    assert taken(message, logins=logins) is None
    assert taken(login(), logins=logins)


@pytest.mark.parametrize("at", range(0, int(3 * EARLY_LOGIN_SKEW_S), 10))
def test_a_repetition_is_never_taken_however_late(at: int) -> None:
    """From a minute in the future until long after it is stale, whenever the memory turns over."""
    logins = EarlyLogins(NOW - 1000)
    assert taken(login(made_wall=NOW - 70), logins=logins, now_wall=NOW - 70)
    message = login(made_wall=NOW + EARLY_LOGIN_SKEW_S)
    assert taken(message, logins=logins)
    for later in range(1, at + 1):
        assert taken(message, logins=logins, now_wall=NOW + later) is None
        taken(login(made_wall=NOW + later), logins=logins, now_wall=NOW + later)


@pytest.mark.parametrize("off_s", [-EARLY_LOGIN_SKEW_S - 1, EARLY_LOGIN_SKEW_S + 1])
def test_a_clock_that_is_far_off_is_challenged(off_s: float) -> None:
    assert taken(login(made_wall=NOW + off_s)) is None


def test_a_server_that_has_just_started_challenges_what_it_may_have_taken_before() -> None:
    assert taken(login(made_wall=NOW - 1), logins=EarlyLogins(NOW)) is None
    assert taken(login(made_wall=NOW + 1), logins=EarlyLogins(NOW))


@pytest.mark.parametrize("message", [login(signer=EVE), login(host="evil.example.com"), login(version=2)])
def test_what_a_challenge_would_refuse_is_not_taken(message: Login) -> None:
    assert taken(message) is None


def test_an_answer_to_a_challenge_is_no_early_login() -> None:
    """A dishonest server chooses its challenges so that they look like nonces of clients."""
    nonce = early_login.make_nonce(NOW, os.urandom)
    signature = ALICE.sign(login_transcript(nonce, bytes(ALICE.peer_id), HOST, "b1"))
    assert taken(msgspec.structs.replace(login(), nonce=nonce, signature=signature)) is None


def test_when_too_many_came_a_challenge_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rendezvous.core.login.EARLY_LOGINS_REMEMBERED", 2)
    logins = EarlyLogins(NOW - 1000)
    assert [taken(login(), logins=logins) is not None for _ in range(3)] == [True, True, False]


def test_the_header_holds_the_login() -> None:
    message = login()
    assert early_login.from_header_untrusted(early_login.to_header(message)) == message


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Basic dTpw",
        "P2P",
        "P2P !!!",
        "P2P A",
        "P2P " + base64.urlsafe_b64encode(encode(Bye(code="x"))).decode(),
        "P2P " + base64.urlsafe_b64encode(encode(msgspec.structs.replace(login(), nonce=None))).decode(),
        "P2P é",
        early_login.to_header(login()) + "A" * 4096,
    ],
)
def test_other_headers_are_none(value: str) -> None:
    with pytest.raises(DecodeError):
        early_login.from_header_untrusted(value)
