from __future__ import annotations

import hashlib
import hmac

import pytest

from p2p.errors import IntegrityError
from p2p.proto.tunnel.ticket_proof import TICKET_PROOF_BYTES, make_ticket_proof, verify_ticket_proof

GIVEN = {"secret": b"s" * 16, "binding": b"b" * 32, "dialer_id": b"d" * 32, "exposer_id": b"e" * 32, "service": "web"}


def test_proof_is_the_documented_hmac() -> None:
    message = b"p2p/1 ticket\0" + b"".join(
        len(part).to_bytes(2, "big") + part for part in (b"b" * 32, b"d" * 32, b"e" * 32, b"web")
    )
    proof = make_ticket_proof(**GIVEN)  # type: ignore[arg-type]
    assert proof == hmac.new(b"s" * 16, message, hashlib.sha256).digest()
    assert len(proof) == TICKET_PROOF_BYTES
    verify_ticket_proof(proof, **GIVEN)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        {"secret": b"t" * 16},
        {"binding": b"c" * 32},
        {"dialer_id": b"e" * 32},
        {"exposer_id": b"d" * 32},
        {"service": "ssh"},
    ],
)
def test_proof_is_worthless_elsewhere(change: dict[str, object]) -> None:
    proof = make_ticket_proof(**GIVEN)  # type: ignore[arg-type]
    with pytest.raises(IntegrityError) as caught:
        verify_ticket_proof(proof, **{**GIVEN, **change})  # type: ignore[arg-type]
    assert caught.value.code == "P2P-7214"


def test_parts_cannot_be_shifted_into_each_other() -> None:
    one = make_ticket_proof(secret=b"s", binding=b"ab", dialer_id=b"c", exposer_id=b"e", service="")
    two = make_ticket_proof(secret=b"s", binding=b"a", dialer_id=b"bc", exposer_id=b"e", service="")
    assert one != two


def test_a_proof_of_wrong_length_does_not_verify() -> None:
    with pytest.raises(IntegrityError):
        verify_ticket_proof(b"", **GIVEN)  # type: ignore[arg-type]
