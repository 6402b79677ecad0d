"""The client's proof: who it names, and everything that must not pass."""

from __future__ import annotations

import pytest

from p2p.errors import IdentityError
from p2p.identity import Identity, PeerId, proof

CLIENT = Identity.from_seed(bytes(range(32)))
SERVER = Identity.from_seed(bytes(range(1, 33)))
BINDING = bytes(range(100, 132))


def test_a_proof_names_its_maker() -> None:
    made = proof.make(CLIENT, BINDING, SERVER.peer_id)
    assert len(made) == proof.PROOF_BYTES
    assert proof.verify(made, BINDING, SERVER.peer_id) == CLIENT.peer_id


def test_a_proof_is_stable_on_the_wire() -> None:
    made = proof.make(CLIENT, BINDING, SERVER.peer_id)
    assert made[:32] == CLIENT.peer_id.public_key
    transcript = b"p2p/1 proof of identity\0client\0" + BINDING + CLIENT.peer_id.public_key + SERVER.peer_id.public_key
    assert made[32:] == CLIENT.sign(transcript)


def test_a_proof_of_another_connection_is_refused() -> None:
    made = proof.make(CLIENT, BINDING, SERVER.peer_id)
    with pytest.raises(IdentityError, match="claims to be"):
        proof.verify(made, BINDING[::-1], SERVER.peer_id)


def test_a_proof_for_another_server_is_refused() -> None:
    made = proof.make(CLIENT, BINDING, SERVER.peer_id)
    with pytest.raises(IdentityError):
        proof.verify(made, BINDING, CLIENT.peer_id)


def test_another_key_under_the_signature_is_refused() -> None:
    made = proof.make(CLIENT, BINDING, SERVER.peer_id)
    with pytest.raises(IdentityError):
        proof.verify(SERVER.peer_id.public_key + made[32:], BINDING, SERVER.peer_id)


@pytest.mark.parametrize("position", [0, 31, 32, 63, 95])
def test_every_changed_byte_is_noticed(position: int) -> None:
    made = bytearray(proof.make(CLIENT, BINDING, SERVER.peer_id))
    made[position] ^= 1
    with pytest.raises(IdentityError):
        proof.verify(bytes(made), BINDING, SERVER.peer_id)


@pytest.mark.parametrize("length", [0, 32, 95, 97, 192])
def test_a_wrong_length_is_refused(length: int) -> None:
    with pytest.raises(IdentityError, match="96 bytes"):
        proof.verify(bytes(length), BINDING, SERVER.peer_id)


SMALL_ORDER_KEYS = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]


@pytest.mark.parametrize("key", SMALL_ORDER_KEYS)
def test_keys_that_belong_to_nobody_are_refused(key: str) -> None:
    # R = the neutral element and S = 0 verify for some or all messages under such a key.
    forged = bytes.fromhex(key) + b"\x01" + bytes(63)
    with pytest.raises(IdentityError, match="nobody"):
        proof.verify(forged, BINDING, SERVER.peer_id)


def test_a_binding_of_a_wrong_length_is_a_bug() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        proof.make(CLIENT, b"short", PeerId(bytes(range(32))))
