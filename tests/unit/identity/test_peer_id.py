import pytest

from p2p.errors import IdentityError, IntegrityError
from p2p.identity import Identity, PeerId

IDENTITY = Identity.from_seed(bytes(range(32)))


def test_the_text_is_52_characters_of_lower_case_base32() -> None:
    text = str(IDENTITY.peer_id)
    assert len(text) == 52
    assert set(text) <= set("abcdefghijklmnopqrstuvwxyz234567")
    assert PeerId.parse(text) == IDENTITY.peer_id


def test_upper_case_and_blanks_are_forgiven() -> None:
    assert PeerId.parse(f"  {str(IDENTITY.peer_id).upper()}\n") == IDENTITY.peer_id


@pytest.mark.parametrize("text", ["", "abc", "a" * 51, "a" * 53, "1" * 52, "ä" * 52, "a" * 51 + "="])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(IdentityError) as caught:
        PeerId.parse(text)
    assert caught.value.code == "P2P-2110"


def test_a_second_spelling_of_the_same_key_is_refused() -> None:
    text = str(PeerId(bytes(32)))
    assert text == "a" * 52
    with pytest.raises(IdentityError):
        PeerId.parse("a" * 51 + "b")


def test_a_key_of_another_size_is_refused() -> None:
    with pytest.raises(IdentityError):
        PeerId(bytes(31))


def test_ids_order_by_their_bytes_and_can_be_keys() -> None:
    low, high = PeerId(bytes(32)), PeerId(b"\xff" * 32)
    assert low < high
    assert {low: 1}[PeerId(bytes(32))] == 1
    assert bytes(low) == bytes(32)


def test_a_signature_verifies_for_its_signer_and_data_only() -> None:
    signature = IDENTITY.sign(b"label\0data")
    IDENTITY.peer_id.verify(signature, b"label\0data")
    for peer_id, data, forged in (
        (IDENTITY.peer_id, b"label\0date", signature),
        (Identity.generate().peer_id, b"label\0data", signature),
        (IDENTITY.peer_id, b"label\0data", signature[:-1]),
    ):
        with pytest.raises(IntegrityError):
            peer_id.verify(forged, data)


def test_repr_shows_the_public_half_only() -> None:
    assert str(IDENTITY.peer_id) in repr(IDENTITY)
    assert repr(IDENTITY.peer_id) == f"PeerId({IDENTITY.peer_id})"
