"""A relay on loopback with every leg."""

from __future__ import annotations

import atexit
import datetime
import functools
import shutil
import tempfile
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from p2p.address import TransportAddress
from relay.service import RelayConfig

LOCALHOST = TransportAddress("127.0.0.1", 0)
USERS = {"alice": "wonderland", "bob": "builder"}
SECRET = "a secret of sixteen characters"


def write_certificate(folder: Path, name: str = "localhost") -> tuple[Path, Path]:
    """Write a self-signed certificate and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate_path, key_path = folder / "certificate.pem", folder / "key.pem"
    certificate_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate_path, key_path


@functools.cache
def _shared_certificate() -> tuple[Path, Path]:
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder)
    return write_certificate(Path(folder))


def loopback_config(**changes: Any) -> RelayConfig:
    """Make a configuration with all three legs on ports that the kernel chooses."""
    certificate, key = _shared_certificate()
    settings: dict[str, Any] = {
        "udp": (LOCALHOST,),
        "tcp": (LOCALHOST,),
        "tls": (LOCALHOST,),
        "users": USERS,
        "shared_secrets": (SECRET,),
        "tls_certificate": certificate,
        "tls_key": key,
        "danger_allow_loopback_peers": True,
        "tcp_to_peers": True,
    }
    return RelayConfig(**(settings | changes))
