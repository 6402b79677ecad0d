"""A login that comes with the request for the WebSocket, and saves the round trip of a challenge.

    Authorization: P2P <base64url, without padding, of a login message with a nonce>

The client makes the nonce: eight bytes of Unix milliseconds, big-endian, and 24 random ones. It cannot show that the
login is fresh, so a server takes each once and for a short time only; one that does not want it sends a challenge, as
to a client that came without. Whoever could repeat it would have to read the inside of TLS, and would gain what only
the owner of the key can open.
"""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Callable
from typing import Final

from p2p.errors import DecodeError
from p2p.proto.signalling.messages import NONCE_BYTES, Login, decode_client_untrusted, encode

_SCHEME: Final = "P2P "
_HEADER_MAX_CHARACTERS: Final = 4096
_TIME: Final = struct.Struct(">Q")


def make_nonce(now_wall: float, random_bytes: Callable[[int], bytes]) -> bytes:
    """Make the nonce of an early login.

    Args:
        now_wall: The present, Unix seconds.
        random_bytes: Source of what nobody guesses.
    """
    return _TIME.pack(int(now_wall * 1000)) + random_bytes(NONCE_BYTES - _TIME.size)


def made_at_wall(nonce: bytes) -> float:
    """Tell when a nonce was made, by its maker's clock, in Unix seconds."""
    milliseconds: int = _TIME.unpack_from(nonce)[0]
    return milliseconds / 1000


def to_header(login: Login) -> str:
    """Write a login as the value of the header."""
    return _SCHEME + base64.urlsafe_b64encode(encode(login)).rstrip(b"=").decode()


def from_header_untrusted(value: str) -> Login:
    """Read the value of the header.

    Raises:
        DecodeError: It holds no early login.
    """
    if not value.startswith(_SCHEME) or len(value) > _HEADER_MAX_CHARACTERS:
        raise DecodeError("not an early login")
    text = value.removeprefix(_SCHEME)
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise DecodeError("an early login that is not base64url") from error
    login = decode_client_untrusted(data)
    if not isinstance(login, Login) or login.nonce is None:
        raise DecodeError("an early login without a nonce")
    return login
