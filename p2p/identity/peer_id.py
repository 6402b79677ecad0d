"""The name of a peer: its Ed25519 public key."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from p2p.errors import IdentityError, IntegrityError
from p2p.identity.errors import CODE_PEER_ID

PUBLIC_KEY_BYTES: Final = 32
PEER_ID_CHARACTERS: Final = 52
SHORT_CHARACTERS: Final = 10
# Base32 is slow in Python, and a rendezvous turns the same few thousand ids back and forth for each message.
_REMEMBERED: Final = 8192


@dataclass(frozen=True, slots=True, order=True, repr=False)
class PeerId:
    """The 32-byte Ed25519 public key of a peer, written as 52 characters of lower-case base32.

    Peer ids are ordered by their bytes, so that two peers can break a tie without a message.

    Attributes:
        public_key: The raw key. Source: RFC 8032 section 5.1.5.

    Raises:
        IdentityError: The key has not 32 bytes.
    """

    public_key: bytes

    def __post_init__(self) -> None:
        if len(self.public_key) != PUBLIC_KEY_BYTES:
            raise IdentityError(f"a public key has 32 bytes, not {len(self.public_key)}", code=CODE_PEER_ID)

    @classmethod
    def parse(cls, text: str) -> PeerId:
        """Read the base32 form; upper case and surrounding blanks are forgiven.

        Args:
            text: 52 characters of base32 without padding.

        Raises:
            IdentityError: The text is no peer id, or not the one spelling of its key.
        """
        cleaned = text.strip().lower()
        if len(cleaned) != PEER_ID_CHARACTERS:
            raise IdentityError(
                f"a peer id has {PEER_ID_CHARACTERS} characters, not {len(cleaned)}: {text[:80]!r}", code=CODE_PEER_ID
            )
        return cls(_decode(cleaned))

    def verify(self, signature: bytes, data: bytes) -> None:
        """Check that the owner of this key signed the data.

        Args:
            signature: 64 bytes.
            data: What was signed, with its context label in front.

        Raises:
            IntegrityError: Somebody else did, or the data was changed.
        """
        try:
            Ed25519PublicKey.from_public_bytes(self.public_key).verify(signature, data)
        except (InvalidSignature, ValueError) as error:
            raise IntegrityError(f"signature is not from {self.short}") from error

    @property
    def short(self) -> str:
        """The first characters, for logs and screens; not unique against someone who searches for a match."""
        return str(self)[:SHORT_CHARACTERS]

    def __bytes__(self) -> bytes:
        return self.public_key

    def __str__(self) -> str:
        return _encode(self.public_key)

    def __repr__(self) -> str:
        return f"PeerId({self})"


@lru_cache(_REMEMBERED)
def _encode(public_key: bytes) -> str:
    return base64.b32encode(public_key).decode("ascii").rstrip("=").lower()


@lru_cache(_REMEMBERED)
def _decode(text: str) -> bytes:
    try:
        public_key = base64.b32decode(text.upper() + "====")
    except (binascii.Error, ValueError) as error:
        raise IdentityError(f"not a peer id: {text!r}", code=CODE_PEER_ID) from error
    # The last character carries one bit; another spelling of the same key must not pass for another peer.
    if _encode(public_key) != text:
        raise IdentityError(f"not a peer id: {text!r}", code=CODE_PEER_ID)
    return public_key
