import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from p2p.errors import IdentityError, IntegrityError
from p2p.identity import Identity, OpenedBody, PeerId, ReplayGuard, sealing
from p2p.identity.sealing import SEALING_OVERHEAD_BYTES, _montgomery_u

ALICE = Identity.from_seed(b"a" * 32)
BOB = Identity.from_seed(b"b" * 32)
EVE = Identity.from_seed(b"e" * 32)
NOW = 1_800_000_000.125


def test_the_receiver_learns_body_sender_and_instant() -> None:
    opened = BOB.open_untrusted(ALICE.seal(BOB.peer_id, b"hello", now_wall=NOW))
    assert (opened.sender, opened.body, opened.sent_wall) == (ALICE.peer_id, b"hello", NOW)


@pytest.mark.parametrize("body", [b"", bytes(11_000)])
def test_the_overhead_is_constant(body: bytes) -> None:
    sealed = ALICE.seal(BOB.peer_id, body, now_wall=NOW)
    assert len(sealed) == len(body) + SEALING_OVERHEAD_BYTES
    assert BOB.open_untrusted(sealed).body == body


def test_nobody_else_reads_it_not_even_the_sender() -> None:
    sealed = ALICE.seal(BOB.peer_id, b"hello", now_wall=NOW)
    for other in (ALICE, EVE):
        with pytest.raises(IntegrityError) as caught:
            other.open_untrusted(sealed)
        assert caught.value.code == "P2P-2301"


def test_every_changed_byte_is_noticed() -> None:
    sealed = ALICE.seal(BOB.peer_id, b"hello", now_wall=NOW)
    for position in range(len(sealed)):
        changed = bytearray(sealed)
        changed[position] ^= 1
        with pytest.raises(IntegrityError):
            BOB.open_untrusted(bytes(changed))
    for size in (0, 1, SEALING_OVERHEAD_BYTES - 1, len(sealed) - 1):
        with pytest.raises(IntegrityError):
            BOB.open_untrusted(sealed[:size])


def test_a_receiver_cannot_pass_a_body_on_in_the_senders_name() -> None:
    """Bob seals Alice's signed content to Eve again: the signature names Bob as its receiver."""
    sealed = ALICE.seal(BOB.peer_id, b"hello", now_wall=NOW)
    captured = BOB.open_untrusted(sealed)

    class Parrot:
        """Signs nothing and shows Alice's key."""

        def public_key(self) -> object:
            return Ed25519PrivateKey.from_private_bytes(b"a" * 32).public_key()

        def sign(self, data: bytes) -> bytes:
            return bytes(64)

    forged = sealing.seal(Parrot(), EVE.peer_id, captured.body, now_wall=NOW)  # type: ignore[arg-type]
    with pytest.raises(IntegrityError) as caught:
        EVE.open_untrusted(forged)
    assert caught.value.code == "P2P-2302"


def test_a_key_of_small_order_is_no_receiver_and_no_ephemeral_key() -> None:
    identity_point = PeerId(b"\x01" + bytes(31))
    with pytest.raises(IdentityError):
        ALICE.seal(identity_point, b"hello", now_wall=NOW)
    sealed = ALICE.seal(BOB.peer_id, b"hello", now_wall=NOW)
    with pytest.raises(IntegrityError):
        BOB.open_untrusted(sealed[:1] + bytes(32) + sealed[33:])


def test_the_montgomery_key_is_that_of_libsodium() -> None:
    """Source: libsodium's test of crypto_sign_ed25519_pk_to_curve25519."""
    seed = bytes.fromhex("421151a459faeade3d247115f94aedae42318124095afabe4d1451a559faedee")
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    assert _montgomery_u(public).hex() == "f1814f0e8ff1043d8a44d25babff3cedcae6c22c3edaa48f857ae70de2baae50"


@pytest.mark.parametrize("number", range(8))
def test_both_halves_of_the_map_belong_together(number: int) -> None:
    seed = bytes([number]) * 32
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    scalar = hashlib.sha512(seed).digest()[:32]
    assert X25519PrivateKey.from_private_bytes(scalar).public_key().public_bytes_raw() == _montgomery_u(public)


def opened_at(sent_wall: float, number: int = 0) -> OpenedBody:
    return OpenedBody(ALICE.peer_id, sent_wall, b"", number.to_bytes(32, "big"))


def test_a_body_is_accepted_once() -> None:
    guard = ReplayGuard()
    guard.check(opened_at(NOW), now_wall=NOW)
    with pytest.raises(IntegrityError) as caught:
        guard.check(opened_at(NOW), now_wall=NOW + 1)
    assert caught.value.code == "P2P-2304"


@pytest.mark.parametrize("skew_s", [-301, 301])
def test_a_body_far_off_our_clock_is_stale(skew_s: float) -> None:
    with pytest.raises(IntegrityError, match=r"[+-]301 s off") as caught:
        ReplayGuard(max_skew_s=300).check(opened_at(NOW + skew_s), now_wall=NOW)
    assert caught.value.code == "P2P-2303"


def test_there_is_no_instant_at_which_a_replay_passes() -> None:
    """A body from the edge of the future stays fresh longest."""
    sent_wall = NOW + 300
    for delay_s in range(0, 700, 10):
        guard = ReplayGuard(max_skew_s=300)
        guard.check(opened_at(sent_wall), now_wall=NOW)
        with pytest.raises(IntegrityError):
            guard.check(opened_at(sent_wall), now_wall=NOW + delay_s)


def test_memory_is_bounded_and_forgets_the_oldest() -> None:
    guard = ReplayGuard(limit=3)
    for number in range(5):
        guard.check(opened_at(NOW, number), now_wall=NOW)
    assert len(guard) == 3
    with pytest.raises(IntegrityError):
        guard.check(opened_at(NOW, 4), now_wall=NOW)


def test_what_cannot_be_fresh_any_more_is_forgotten() -> None:
    guard = ReplayGuard(max_skew_s=300)
    for number in range(5):
        guard.check(opened_at(NOW, number), now_wall=NOW)
    guard.check(opened_at(NOW + 601, 9), now_wall=NOW + 601)
    assert len(guard) == 1
