"""The identity of this peer: its private key, and everything that is made with it."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from p2p.errors import IdentityError
from p2p.identity import key_file, sealing
from p2p.identity.certificate import make_certificate_pem
from p2p.identity.errors import CODE_KEY_UNREADABLE
from p2p.identity.peer_id import PeerId
from p2p.identity.sealing import OpenedBody

SEED_BYTES: Final = 32


class Identity:
    """An Ed25519 key pair. Its repr shows the public half only.

    Args:
        private_key: The key; ``generate``, ``from_seed`` and ``load_or_create`` make one.
    """

    def __init__(self, private_key: Ed25519PrivateKey) -> None:
        self._private_key = private_key
        self.peer_id: Final = PeerId(private_key.public_key().public_bytes_raw())

    @classmethod
    def generate(cls) -> Identity:
        """Make a new identity that lives in memory only."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_seed(cls, seed: bytes) -> Identity:
        """Make the identity of a 32-byte seed, for tests and for keys kept elsewhere.

        Raises:
            IdentityError: The seed has not 32 bytes.
        """
        if len(seed) != SEED_BYTES:
            raise IdentityError(f"a seed has {SEED_BYTES} bytes, not {len(seed)}", code=CODE_KEY_UNREADABLE)
        return cls(Ed25519PrivateKey.from_private_bytes(seed))

    @classmethod
    def load_or_create(cls, path: Path | None = None) -> Identity:
        """Read the key file, or make it on first use, readable by its owner alone.

        Args:
            path: The file; None means ``default_key_path()``.

        Raises:
            IdentityError: The file has a wrong owner or mode, is no Ed25519 key, or cannot be read or made.
        """
        file = path or key_file.default_key_path()
        pem = key_file.read(file)
        if pem is None:
            pem = key_file.create(file, cls.generate().private_key_pem)
        try:
            private_key = serialization.load_pem_private_key(pem, password=None)
        except (ValueError, TypeError) as error:
            raise IdentityError(f"{file} is no unencrypted PEM key", code=CODE_KEY_UNREADABLE) from error
        if not isinstance(private_key, Ed25519PrivateKey):
            raise IdentityError(f"{file} holds a key that is not Ed25519", code=CODE_KEY_UNREADABLE)
        return cls(private_key)

    @cached_property
    def certificate_pem(self) -> bytes:
        """The self-signed certificate of this key, PEM."""
        return make_certificate_pem(self._private_key)

    @cached_property
    def private_key_pem(self) -> bytes:
        """The private key, PKCS #8 PEM, not encrypted."""
        return self._private_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def sign(self, data: bytes) -> bytes:
        """Sign data.

        Args:
            data: Must begin with a label that no other use of this key shares, or one protocol could be made to
                sign for another.

        Returns:
            64 bytes. ``PeerId.verify`` checks them.
        """
        return self._private_key.sign(data)

    def derive_secret(self, purpose: str, length: int) -> bytes:
        """Derive a secret that only the owner of the key can, the same each time.

        A service keeps its ticket over a restart in this way, without anything being stored.

        Args:
            purpose: What it is for; another purpose gives an unrelated secret.
            length: 1 to 255 * 32 bytes.
        """
        info = b"p2p derived secret v1\0" + purpose.encode()
        return HKDF(SHA256(), length, salt=None, info=info).derive(self._private_key.private_bytes_raw())

    def seal(self, receiver: PeerId, body: bytes, *, now_wall: float) -> bytes:
        """Seal a body so that only the receiver reads it and knows it is from us.

        Args:
            receiver: Who may read the body.
            body: Anything.
            now_wall: The present, in Unix seconds.

        Raises:
            IdentityError: The receiver's id is no usable public key.
        """
        return sealing.seal(self._private_key, receiver, body, now_wall=now_wall)

    def open_untrusted(self, sealed: bytes) -> OpenedBody:
        """Open a body that was sealed for us; give the result to a ``ReplayGuard``.

        Raises:
            IntegrityError: It is not for us, was changed on its way, or is not from the sender it names.
        """
        return sealing.open_untrusted(self._private_key, sealed)

    def __repr__(self) -> str:
        return f"Identity({self.peer_id})"
