"""A private certificate authority for TLS tests."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


class Authority:
    """A private CA, and a certificate for 127.0.0.1 by it, or for host names, or for somebody."""

    def __init__(self, folder: Path, *names: str, subject: str = "server") -> None:
        self.certificate, self.key, self.root = folder / "cert.pem", folder / "key.pem", folder / "ca.pem"
        key, ca_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test CA")])
        now = datetime.datetime.now(datetime.UTC)

        def build(public_key: ec.EllipticCurvePublicKey, subject: str, is_ca: bool) -> x509.Certificate:
            builder = (
                x509.CertificateBuilder()
                .issuer_name(name)
                .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)]))
                .public_key(public_key)
                .serial_number(x509.random_serial_number())
                .not_valid_before(now - datetime.timedelta(days=1))
                .not_valid_after(now + datetime.timedelta(days=1))
                .add_extension(x509.BasicConstraints(is_ca, None), critical=True)
            )
            if not is_ca:
                host = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
                subjects = [x509.DNSName(name) for name in names] or [host]
                builder = builder.add_extension(x509.SubjectAlternativeName(subjects), critical=False)
            return builder.sign(ca_key, hashes.SHA256())

        pem = serialization.Encoding.PEM
        self.root.write_bytes(build(ca_key.public_key(), "test CA", True).public_bytes(pem))
        self.certificate.write_bytes(build(key.public_key(), subject, False).public_bytes(pem))
        self.key.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))

    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.root))
