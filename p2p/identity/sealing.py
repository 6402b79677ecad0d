"""Sealed bodies: what a peer writes to another so that no server in between can read or forge it.

Layout::

    sealed    = version (1 byte, 1) | ephemeral X25519 key (32) | ChaCha20-Poly1305 ciphertext and tag
    plaintext = sender's Ed25519 key (32) | signature (64) | sent, Unix milliseconds (8) | body

The cipher key is HKDF-SHA256 over the Diffie-Hellman value of the ephemeral key and the receiver's key; it is used
once, so the nonce is zero. The signature covers a context label, the receiver, the ephemeral key, the instant
and the body, so that a body can be handed to nobody else, not even by its receiver.

What is guaranteed: only the owner of the receiver's key reads the body, and the sender named is who wrote it,
for this receiver, at the instant given. ``ReplayGuard`` adds that a running receiver accepts a body at most once
and never one that is more than ``SEALED_MAX_SKEW_S`` off its clock. What is not: forward secrecy against a later
theft of the receiver's key, and memory of replays across a restart within those minutes.

Source: RFC 7748 section 4.1 (the birational map), RFC 8032 section 5.1.5, RFC 5869, RFC 8439.
"""

from __future__ import annotations

import hashlib
import struct
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from p2p.defaults import SEALED_MAX_SKEW_S, SEALED_REMEMBERED
from p2p.errors import IdentityError, IntegrityError
from p2p.identity.errors import CODE_SEAL_FORGED, CODE_SEAL_REPLAYED, CODE_SEAL_STALE, CODE_SEAL_UNREADABLE
from p2p.identity.peer_id import PeerId

_VERSION: Final = 1
_CONTEXT: Final = b"p2p sealed body v1\0"
_KEY_BYTES: Final = 32
_SIGNATURE_BYTES: Final = 64
_TAG_BYTES: Final = 16
_INSTANT: Final = struct.Struct("!Q")
_HEADER_BYTES: Final = 1 + _KEY_BYTES
_INNER_BYTES: Final = _KEY_BYTES + _SIGNATURE_BYTES + _INSTANT.size
SEALING_OVERHEAD_BYTES: Final = _HEADER_BYTES + _INNER_BYTES + _TAG_BYTES
_ONE_USE_NONCE: Final = bytes(12)
_FIELD_PRIME: Final = 2**255 - 19


@dataclass(frozen=True, slots=True)
class OpenedBody:
    """What was inside a sealed body.

    Attributes:
        sender: Who wrote it; authenticated.
        sent_wall: When, by the sender's clock, in Unix seconds.
        body: The content.
        message_id: 32 bytes that name this one message, for ``ReplayGuard``.
    """

    sender: PeerId
    sent_wall: float
    body: bytes
    message_id: bytes = field(repr=False)


def seal(private_key: Ed25519PrivateKey, receiver: PeerId, body: bytes, *, now_wall: float) -> bytes:
    """Seal a body for one receiver.

    Args:
        private_key: The sender's key.
        receiver: Who may read the body.
        body: Anything.
        now_wall: The present, in Unix seconds.

    Returns:
        The body and ``SEALING_OVERHEAD_BYTES`` more.

    Raises:
        IdentityError: The receiver's id is no usable public key.
    """
    ephemeral = X25519PrivateKey.generate()
    ephemeral_public = ephemeral.public_key().public_bytes_raw()
    try:
        shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(_montgomery_u(receiver.public_key)))
    except ValueError as error:
        raise IdentityError(f"not a usable public key: {receiver}", code=CODE_SEAL_UNREADABLE) from error
    instant = _INSTANT.pack(int(now_wall * 1000))
    signature = private_key.sign(_signed_part(receiver, ephemeral_public, instant, body))
    plaintext = private_key.public_key().public_bytes_raw() + signature + instant + body
    header = bytes([_VERSION]) + ephemeral_public
    return header + _cipher(shared, header, receiver).encrypt(_ONE_USE_NONCE, plaintext, header)


def open_untrusted(private_key: Ed25519PrivateKey, sealed: bytes) -> OpenedBody:
    """Open a sealed body and authenticate its sender; whether it is fresh is the ``ReplayGuard``'s business.

    Args:
        private_key: The receiver's key.
        sealed: What arrived.

    Raises:
        IntegrityError: It is not for this receiver, was changed on its way, or is not from the sender it names.
    """
    if len(sealed) < SEALING_OVERHEAD_BYTES or sealed[0] != _VERSION:
        raise IntegrityError("not a sealed body", code=CODE_SEAL_UNREADABLE)
    receiver = PeerId(private_key.public_key().public_bytes_raw())
    header, ephemeral_public = sealed[:_HEADER_BYTES], sealed[1:_HEADER_BYTES]
    scalar = hashlib.sha512(private_key.private_bytes_raw()).digest()[:_KEY_BYTES]
    try:
        shared = X25519PrivateKey.from_private_bytes(scalar).exchange(
            X25519PublicKey.from_public_bytes(ephemeral_public)
        )
        plaintext = _cipher(shared, header, receiver).decrypt(_ONE_USE_NONCE, sealed[_HEADER_BYTES:], header)
    except (InvalidTag, ValueError) as error:
        raise IntegrityError("a sealed body that does not open with our key", code=CODE_SEAL_UNREADABLE) from error
    sender = PeerId(plaintext[:_KEY_BYTES])
    signature = plaintext[_KEY_BYTES : _KEY_BYTES + _SIGNATURE_BYTES]
    instant = plaintext[_KEY_BYTES + _SIGNATURE_BYTES : _INNER_BYTES]
    body = plaintext[_INNER_BYTES:]
    try:
        sender.verify(signature, _signed_part(receiver, ephemeral_public, instant, body))
    except IntegrityError as error:
        raise IntegrityError(f"sealed body is not from {sender.short}", code=CODE_SEAL_FORGED) from error
    return OpenedBody(sender, _INSTANT.unpack(instant)[0] / 1000, body, ephemeral_public)


class ReplayGuard:
    """Refuses a sealed body that is stale or was accepted before. Not safe for threads.

    Only authenticated senders reach it, and the rendezvous limits their rate. When more than the limit arrive within
    the window, the oldest are forgotten first.

    Args:
        max_skew_s: How far the sender's clock may be off ours, either way.
        limit: How many message ids are remembered.
    """

    def __init__(self, *, max_skew_s: float = SEALED_MAX_SKEW_S, limit: int = SEALED_REMEMBERED) -> None:
        self._max_skew_s = max_skew_s
        self._limit = limit
        self._seen: OrderedDict[bytes, float] = OrderedDict()

    def check(self, opened: OpenedBody, *, now_wall: float) -> None:
        """Accept a body, once.

        Args:
            opened: An authenticated body.
            now_wall: The present, in Unix seconds.

        Raises:
            IntegrityError: The body is too old, from the future, or a repetition.
        """
        # A message is refused by its age once its id may be forgotten, hence twice the skew.
        while self._seen and (
            next(iter(self._seen.values())) < now_wall - 2 * self._max_skew_s or len(self._seen) >= self._limit
        ):
            self._seen.popitem(last=False)
        skew_s = opened.sent_wall - now_wall
        if abs(skew_s) > self._max_skew_s:
            detail = f"message from {opened.sender.short} is {skew_s:+.0f} s off our clock"
            raise IntegrityError(detail, code=CODE_SEAL_STALE)
        if opened.message_id in self._seen:
            raise IntegrityError(f"message from {opened.sender.short} was delivered before", code=CODE_SEAL_REPLAYED)
        self._seen[opened.message_id] = now_wall

    def __len__(self) -> int:
        return len(self._seen)


def _montgomery_u(edwards_key: bytes) -> bytes:
    """Map an Ed25519 public key to the X25519 key of the same secret: u = (1 + y) / (1 - y).

    Public values only, so arithmetic that is not constant-time gives nothing away.
    """
    y = int.from_bytes(edwards_key, "little") & ((1 << 255) - 1)
    u = (1 + y) * pow(1 - y, -1, _FIELD_PRIME) if (1 - y) % _FIELD_PRIME else 0
    return (u % _FIELD_PRIME).to_bytes(_KEY_BYTES, "little")


def _cipher(shared: bytes, header: bytes, receiver: PeerId) -> ChaCha20Poly1305:
    key = HKDF(SHA256(), _KEY_BYTES, salt=header + receiver.public_key, info=_CONTEXT).derive(shared)
    return ChaCha20Poly1305(key)


def _signed_part(receiver: PeerId, ephemeral_public: bytes, instant: bytes, body: bytes) -> bytes:
    return _CONTEXT + receiver.public_key + ephemeral_public + instant + body
