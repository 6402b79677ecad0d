"""Nonces that the relay can check without remembering them.

A nonce is base64url of: kind (1 byte), Unix time of issue (4), HMAC-SHA256 over both and the holder, cut to 10 bytes.
The holder is the client's transport address for a nonce that was given in a challenge, and the user name for one
that was handed out together with the credentials, which saves its owner the round trip of the challenge.

Source: RFC 8489 sections 9.2.4 and 14.10, RFC 8656 section 5.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import struct
from typing import Final

from p2p.address import TransportAddress
from p2p.defaults import RELAY_NONCE_LIFETIME_S
from p2p.errors import IntegrityError

_HEAD: Final = struct.Struct("!BI")
_MAC_BYTES: Final = 10
_KIND_ADDRESS: Final = 0
_KIND_USERNAME: Final = 1
_CLOCK_SKEW_S: Final = 60
"""How far ahead the clock of the machine may be that issued a nonce with the credentials."""


def nonce_key(shared_secret: str) -> bytes:
    """Derive the key of the nonces, so that every process that knows the relay's secret can issue and check them.

    Args:
        shared_secret: The secret of the time-limited credentials.
    """
    return hmac.digest(shared_secret.encode(), b"turn nonce key", hashlib.sha256)


class NonceSource:
    """Issues and checks nonces.

    Args:
        key: Secret; the same in every process that shares nonces, and over restarts that must not disturb clients.
        lifetime_s: How long a nonce is good for. Source: RFC 8656 section 5: at most an hour.
    """

    def __init__(self, key: bytes, *, lifetime_s: float = RELAY_NONCE_LIFETIME_S) -> None:
        self._key = key
        self._lifetime_s = lifetime_s

    def issue(self, client: TransportAddress, now_wall: float) -> str:
        """Make a nonce for a challenge, of use to this client address only.

        Args:
            client: Where the request came from.
            now_wall: Unix time in seconds.
        """
        return self._make(_KIND_ADDRESS, int(now_wall), _holder_of_address(client))

    def issue_for_user(self, username: str, now_wall: float) -> str:
        """Make a nonce to hand out together with time-limited credentials, of use to this user name only.

        Args:
            username: The name in the credentials.
            now_wall: Unix time in seconds.
        """
        return self._make(_KIND_USERNAME, int(now_wall), username.encode())

    def check(self, nonce: str, client: TransportAddress, username: str, now_wall: float) -> None:
        """Check the nonce of a request.

        Args:
            nonce: As received.
            client: Where the request came from.
            username: Who sent it.
            now_wall: Unix time in seconds.

        Raises:
            IntegrityError: The nonce is not ours, is someone else's or is too old.
        """
        try:
            head = _HEAD.unpack_from(base64.b64decode(nonce, altchars=b"-_", validate=True))
        except (ValueError, binascii.Error, struct.error) as error:
            raise IntegrityError("not a nonce of this relay") from error
        kind, issued_wall = head
        holder = username.encode() if kind == _KIND_USERNAME else _holder_of_address(client)
        if not hmac.compare_digest(nonce.encode(), self._make(kind, issued_wall, holder).encode()):
            raise IntegrityError("not a nonce of this relay for this client")
        if not -_CLOCK_SKEW_S <= now_wall - issued_wall <= self._lifetime_s:
            raise IntegrityError("the nonce is stale")

    def _make(self, kind: int, issued_wall: int, holder: bytes) -> str:
        head = _HEAD.pack(kind, issued_wall & 0xFFFFFFFF)
        mac = hmac.digest(self._key, head + holder, hashlib.sha256)
        # 15 bytes: base64 without padding, 20 characters, a quarter of what a challenge costs on the wire.
        return base64.urlsafe_b64encode(head + mac[:_MAC_BYTES]).decode()


def _holder_of_address(client: TransportAddress) -> bytes:
    return f"{client.host} {client.port}".encode()
