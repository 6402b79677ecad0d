"""The folder in which the account's key and the certificates outlive a restart."""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.core.order_plan import Held, Memory
from p2p.errors import ConfigError, ErrorCode
from p2p.os_errors import reason_of

logger = logging.getLogger(__name__)

CODE_FOLDER: Final = ErrorCode(
    "P2P-1527", "Choose another folder with --acme-folder, or let the gateway's user write it."
)

_ACCOUNT: Final = "account.key"
_MEMORY: Final = "orders.json"
_SUFFIX: Final = ".pem"


class Store:
    """Files for their owner only; each is written whole or not at all.

    Args:
        folder: Of all servers.
        server: The URL of the directory: each server has a folder of its own, so that no certificate of a trial is
            taken for one that browsers trust.

    Raises:
        ConfigError: The folder cannot be used.
    """

    def __init__(self, folder: Path, server: str) -> None:
        parts = urlsplit(server)
        self.folder = folder / f"{parts.netloc}{parts.path}".replace("/", "_").replace(":", "_")
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.account_key = self._account_key()
        except (OSError, ValueError) as error:
            raise _wrong(self.folder, error) from error

    def memory(self) -> Memory:
        """What the last run has left; nothing when it left nothing that can be read."""
        try:
            return msgspec.json.decode((self.folder / _MEMORY).read_bytes(), type=Memory)
        except FileNotFoundError:
            return Memory()
        except (OSError, msgspec.DecodeError) as error:
            logger.warning("%s: %s; orders are counted anew", self.folder / _MEMORY, error)
            return Memory()

    def keep(self, memory: Memory) -> None:
        """Keep this for the next run.

        Raises:
            ConfigError: It cannot be written.
        """
        self._write(_MEMORY, msgspec.json.encode(memory))

    def path_of(self, name: str) -> Path:
        """The file with a host's chain and private key."""
        return self.folder / f"{name}{_SUFFIX}"

    def put(self, name: str, pem: bytes) -> Held:
        """Keep a certificate.

        Args:
            name: Its host.
            pem: Private key and chain.

        Returns:
            Its life.

        Raises:
            ConfigError: It cannot be written.
        """
        held = life_of(pem)
        self._write(f"{name}{_SUFFIX}", pem)
        return held

    def certificates(self, now: float) -> Iterator[tuple[str, Held]]:
        """What is there, by host; what is over is deleted.

        Args:
            now: Seconds since 1970.
        """
        for path in sorted(self.folder.glob(f"*{_SUFFIX}")):
            try:
                held = life_of(path.read_bytes())
                if held.ends <= now:
                    path.unlink()
                    continue
            except (OSError, ValueError) as error:
                logger.warning("%s: %s", path, error)
                continue
            yield path.name.removesuffix(_SUFFIX), held

    def _account_key(self) -> bytes:
        path = self.folder / _ACCOUNT
        if not path.exists():
            self._write(_ACCOUNT, new_key())
        return path.read_bytes()

    def _write(self, name: str, data: bytes) -> None:
        temporary = self.folder / f".{name}.{secrets.token_hex(8)}"
        try:
            with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(data)
                file.flush()
                # Another order for a certificate that was lost would count.
                os.fsync(file.fileno())
            temporary.replace(self.folder / name)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise _wrong(self.folder / name, error) from error


def new_key() -> bytes:
    """Make a private key (PEM)."""
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def life_of(pem: bytes) -> Held:
    """The life of the first certificate in a file.

    Raises:
        ValueError: There is none.
    """
    certificate = x509.load_pem_x509_certificate(pem)
    return Held(certificate.not_valid_before_utc.timestamp(), certificate.not_valid_after_utc.timestamp())


def _wrong(path: Path, error: Exception) -> ConfigError:
    return ConfigError(f"{path}: {reason_of(error) if isinstance(error, OSError) else error}", code=CODE_FOLDER)
