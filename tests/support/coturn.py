"""A stock coturn on loopback, for interop tests."""

from __future__ import annotations

import base64
import hashlib
import hmac
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from p2p.address import TransportAddress
from p2p.proto.stun.message import Message, MessageClass, Method, encode
from tests.support.ports import free_ports

USERNAME = "alice"
PASSWORD = "wonderland"
SECRET = "a shared secret"
REALM = "example.org"


@dataclass(frozen=True)
class Coturn:
    """A running coturn.

    Attributes:
        address: For UDP and TCP.
        tls_address: For TLS.
        log: What it wrote.
    """

    address: TransportAddress
    tls_address: TransportAddress
    log: Path


def make_certificate(folder: Path, host: str = "127.0.0.1") -> tuple[Path, Path]:
    """Write a self-signed certificate and its key.

    Returns:
        The two PEM files.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / "certificate.pem", folder / "key.pem"
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate_file, key_file


def shared_secret_credentials(peer: str = "peer", lifetime_s: int = 600) -> tuple[str, str]:
    """Make a time-limited user name and password for ``use-auth-secret``."""
    username = f"{int(time.time()) + lifetime_s}:{peer}"
    mac = hmac.digest(SECRET.encode(), username.encode(), hashlib.sha1)
    return username, base64.b64encode(mac).decode()


@contextmanager
def run_coturn(
    folder: Path, *options: str, shared_secret: bool = False, instead_of: Coturn | None = None
) -> Iterator[Coturn]:
    """Run coturn until the block ends; skips the test where it is not installed.

    Args:
        folder: For its files.
        options: Further options.
        shared_secret: Whether users have time-limited credentials instead of a password of their own.
        instead_of: One that has ended, whose addresses it takes.
    """
    program = shutil.which("turnserver")
    if program is None:
        pytest.skip("coturn (turnserver) is not installed")
    certificate, key = make_certificate(folder)
    if instead_of is not None:
        port, tls_port = instead_of.address.port, instead_of.tls_address.port
    else:
        port, tls_port = free_ports(2)
    log = folder / "coturn.log"
    users = (
        ["--use-auth-secret", f"--static-auth-secret={SECRET}"] if shared_secret else [f"--user={USERNAME}:{PASSWORD}"]
    )
    command = [
        program,
        "-n",
        "--listening-ip=127.0.0.1",
        "--relay-ip=127.0.0.1",
        f"--listening-port={port}",
        f"--tls-listening-port={tls_port}",
        f"--realm={REALM}",
        "--lt-cred-mech",
        *users,
        "--allow-loopback-peers",
        "--no-cli",
        "--no-dtls",
        "--relay-threads=1",
        f"--cert={certificate}",
        f"--pkey={key}",
        f"--userdb={folder / 'turndb'}",
        f"--pidfile={folder / 'coturn.pid'}",
        f"--log-file={log}",
        "--simple-log",
        *options,
    ]
    with (folder / "coturn.out").open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=folder)
    try:
        for listener in (port, tls_port):
            _wait_for(partial(_accepts_tcp, listener), process, folder)
        _wait_for(partial(_answers_udp, port), process, folder)
        yield Coturn(TransportAddress("127.0.0.1", port), TransportAddress("127.0.0.1", tls_port), log)
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(ready: Callable[[], bool], process: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + 10
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            text = (folder / "coturn.out").read_text(errors="replace")
            pytest.fail(f"coturn did not start: {text[-2000:]}")
        time.sleep(0.02)


def _accepts_tcp(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 0.2).close()
    except OSError:
        return False
    return True


def _answers_udp(port: int) -> bool:
    """Ask for a Binding: its UDP threads start on their own time, some after TCP already answers."""
    request = encode(Message(MessageClass.REQUEST, Method.BINDING, bytes(12)))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.settimeout(0.2)
        try:
            probe.connect(("127.0.0.1", port))
            probe.send(request)
            return bool(probe.recv(2048))
        except OSError:
            return False
