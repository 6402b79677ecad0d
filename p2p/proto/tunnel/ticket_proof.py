"""Proof that a dialer holds a ticket's secret, without showing the secret.

    HMAC-SHA256(secret, label || binding || dialer id || exposer id || service)

Each part behind the label is preceded by its length in two bytes. The binding belongs to one TLS session, so that
a proof is worthless anywhere else, also to an exposer that lost the ticket's secret and wants it back.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

from p2p.errors import IntegrityError
from p2p.proto.tunnel.codes import CODE_TICKET_PROOF

TICKET_PROOF_BYTES: Final = 32
_LABEL: Final = b"p2p/1 ticket\0"


def make_ticket_proof(*, secret: bytes, binding: bytes, dialer_id: bytes, exposer_id: bytes, service: str) -> bytes:
    """Make the proof on the dialing side.

    Args:
        secret: The capability secret out of the ticket.
        binding: The channel binding of the QUIC connection.
        dialer_id: The dialer's public key.
        exposer_id: The exposer's public key.
        service: The service that the ticket names.

    Returns:
        32 bytes.
    """
    mac = hmac.new(secret, _LABEL, hashlib.sha256)
    for part in (binding, dialer_id, exposer_id, service.encode()):
        mac.update(len(part).to_bytes(2, "big") + part)
    return mac.digest()


def verify_ticket_proof(
    proof: bytes, *, secret: bytes, binding: bytes, dialer_id: bytes, exposer_id: bytes, service: str
) -> None:
    """Check a proof on the exposing side, in constant time.

    Args:
        proof: What the dialer sent.
        secret: The secret of the service's ticket.
        binding: The channel binding of this very QUIC connection.
        dialer_id: The public key that the dialer has proven to hold.
        exposer_id: Our own public key.
        service: The service that the dialer asked for.

    Raises:
        IntegrityError: The dialer does not hold the secret, or the proof was made for another connection.
    """
    expected = make_ticket_proof(
        secret=secret, binding=binding, dialer_id=dialer_id, exposer_id=exposer_id, service=service
    )
    if not hmac.compare_digest(expected, proof):
        raise IntegrityError("the ticket's secret is not proven", code=CODE_TICKET_PROOF)
