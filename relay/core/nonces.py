"""Nonces that the relay can check without remembering them.

    | kind (8) | Unix time of issue (32) | salt (24, kind 1 only) | HMAC-SHA256 over all before and the holder (80) |

in base64url; kind 0 comes behind the cookie that announces what the relay can do ("obMatJos2" and 24 bits in base64,
covered by the HMAC), so that nobody on the way can take the better algorithm out of a challenge.

The holder of kind 0 is the client's transport address: it was given in a challenge. Kind 1 has none: it is handed out
in advance together with credentials, by whoever knows the key, and saves its owner the round trip of the challenge;
its salt keeps any two apart.

Source: RFC 8489 sections 9.2, 9.2.4, 14.10 and 18.1, RFC 8656 section 5.
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
_KIND_CHALLENGE: Final = 0
_KIND_ADVANCE: Final = 1
SALT_BYTES: Final = 3
_COOKIE: Final = "obMatJos2"
FEATURE_PASSWORD_ALGORITHMS: Final = 1 << 23
FEATURE_USERNAME_ANONYMITY: Final = 1 << 22
"""Security features, counted from the most significant of 24 bits. Source: RFC 8489 section 18.1."""
_CLOCK_SKEW_S: Final = 60
"""How far ahead the clock of a machine may be that issues nonces in advance."""


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
        features: The security features that challenges announce.
        lifetime_s: How long a nonce is good for. Source: RFC 8656 section 5: at most an hour.
    """

    def __init__(
        self,
        key: bytes,
        *,
        features: int = FEATURE_PASSWORD_ALGORITHMS,
        lifetime_s: float = RELAY_NONCE_LIFETIME_S,
    ) -> None:
        self._key = key
        self._cookie = _COOKIE + base64.b64encode(features.to_bytes(3, "big")).decode()
        self._lifetime_s = lifetime_s

    def issue(self, client: TransportAddress, now_wall: float) -> str:
        """Make a nonce for a challenge, of use to this client address only.

        Args:
            client: Where the request came from.
            now_wall: Unix time in seconds.
        """
        return self._seal(self._cookie, _HEAD.pack(_KIND_CHALLENGE, int(now_wall) & 0xFFFFFFFF), _holder(client))

    def issue_in_advance(self, salt: bytes, now_wall: float) -> str:
        """Make a nonce to hand out with credentials, before the client's address is known.

        Args:
            salt: ``SALT_BYTES`` random bytes.
            now_wall: Unix time in seconds.
        """
        return self._seal("", _HEAD.pack(_KIND_ADVANCE, int(now_wall) & 0xFFFFFFFF) + salt, b"")

    def check(self, nonce: str, client: TransportAddress, now_wall: float) -> None:
        """Check the nonce of a request.

        Args:
            nonce: As received.
            client: Where the request came from.
            now_wall: Unix time in seconds.

        Raises:
            IntegrityError: The nonce is not ours, is someone else's or is too old.
        """
        cookie = self._cookie if nonce.startswith(self._cookie) else ""
        try:
            raw = base64.b64decode(nonce[len(cookie) :], altchars=b"-_", validate=True)
            kind, issued_wall = _HEAD.unpack_from(raw)
        except (ValueError, binascii.Error, struct.error) as error:
            raise IntegrityError("not a nonce of this relay") from error
        holder = b"" if kind == _KIND_ADVANCE else _holder(client)
        if not hmac.compare_digest(nonce.encode(), self._seal(cookie, raw[:-_MAC_BYTES], holder).encode()):
            raise IntegrityError("not a nonce of this relay for this client")
        if not -_CLOCK_SKEW_S <= now_wall - issued_wall <= self._lifetime_s:
            raise IntegrityError("the nonce is stale")

    def _seal(self, cookie: str, content: bytes, holder: bytes) -> str:
        # 15 or 18 bytes: base64 without padding, and short, because challenges go to strangers.
        mac = hmac.digest(self._key, cookie.encode() + content + holder, hashlib.sha256)[:_MAC_BYTES]
        return cookie + base64.urlsafe_b64encode(content + mac).decode()


def _holder(client: TransportAddress) -> bytes:
    return f"{client.host} {client.port}".encode()
