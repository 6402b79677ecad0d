"""What the gateway gives out and takes back: nobody else can read it or make it."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Final, TypeVar

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from p2p.errors import IntegrityError

SECRET_BYTES: Final = 32
_NONCE_BYTES: Final = 12
StructT = TypeVar("StructT", bound=msgspec.Struct)


class Seals:
    """Seals values, for cookies and for URLs.

    Args:
        secret: ``SECRET_BYTES`` of the gateway's own.
        random_bytes: Source of what nobody guesses.
    """

    def __init__(self, secret: bytes, random_bytes: Callable[[int], bytes]) -> None:
        self._cipher = AESGCM(secret)
        self._random_bytes = random_bytes

    def seal(self, value: msgspec.Struct) -> str:
        """Seal a value; what is sealed as one type can be opened as no other."""
        nonce = self._random_bytes(_NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, msgspec.json.encode(value), type(value).__name__.encode())
        return base64.urlsafe_b64encode(nonce + sealed).decode().rstrip("=")

    def open(self, text: str, kind: type[StructT]) -> StructT:
        """Open what was sealed.

        Args:
            text: As it came back.
            kind: What it has to be.

        Raises:
            IntegrityError: It is nothing that was sealed here as that.
        """
        try:
            data = base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
            plain = self._cipher.decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], kind.__name__.encode())
            return msgspec.json.decode(plain, type=kind)
        except (InvalidTag, UnicodeEncodeError, binascii.Error, ValueError, msgspec.MsgspecError) as error:
            raise IntegrityError("not sealed here") from error
