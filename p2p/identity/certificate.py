"""The self-signed certificate by which a peer shows its key in a TLS handshake."""

from __future__ import annotations

import datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID

from p2p.identity.peer_id import PeerId

# Peers pin the key and read nothing else, so the dates say "no well-defined expiry" (RFC 5280 section 4.1.2.5)
# and do not tell a passer-by what this machine's clock shows.
_NOT_BEFORE: Final = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
_NOT_AFTER: Final = datetime.datetime(9999, 12, 31, 23, 59, 59, tzinfo=datetime.UTC)
_SERIAL_NUMBER: Final = 1


def make_certificate_pem(private_key: Ed25519PrivateKey) -> bytes:
    """Build the X.509 certificate of a key, in memory.

    The certificate depends on the key alone: the same key always gives the same bytes, so nothing is stored.

    Args:
        private_key: The key that signs, and that the certificate is about.

    Returns:
        PEM with one certificate.
    """
    peer_id = PeerId(private_key.public_key().public_bytes_raw())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, str(peer_id))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private_key.public_key())
        .serial_number(_SERIAL_NUMBER)
        .not_valid_before(_NOT_BEFORE)
        .not_valid_after(_NOT_AFTER)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(f"{peer_id}.p2p.invalid")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(private_key, None)
    )
    return certificate.public_bytes(serialization.Encoding.PEM)
