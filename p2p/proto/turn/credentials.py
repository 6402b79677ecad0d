"""The long-term credentials of a client, as far as the server's challenges have told them.

Source: RFC 8489 section 9.2.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

from p2p.proto.stun.attributes import (
    ERROR_CODE,
    MD5_ALGORITHM,
    NONCE,
    PASSWORD_ALGORITHM,
    PASSWORD_ALGORITHMS,
    REALM,
    SHA256_ALGORITHM,
    USERHASH,
    USERNAME,
    PasswordAlgorithm,
)
from p2p.proto.stun.integrity import IntegrityAlgorithm, long_term_key, user_hash
from p2p.proto.stun.message import AttributeValue, Message

UNAUTHENTICATED: Final = 401
STALE_NONCE: Final = 438

_NONCE_COOKIE: Final = "obMatJos2"
_FEATURES_CHARACTERS: Final = 4
# Bits are counted from the most significant of the 24. Source: RFC 8489 section 18.1.
# Deviation: the RFC's own test vector counts from the other end, and so do servers. A list of
# algorithms is taken with either bit; the first alone demands that there is one.
_PASSWORD_ALGORITHMS_BIT: Final = 1 << 23
_PASSWORD_ALGORITHMS_REVERSED_BIT: Final = 1
_USERNAME_ANONYMITY_BIT: Final = 1 << 22
_KNOWN_ALGORITHMS: Final = {MD5_ALGORITHM.number, SHA256_ALGORITHM.number}


def security_features(nonce: str) -> int:
    """Return the 24 security feature bits that a nonce announces; 0 when it announces none.

    Source: RFC 8489 section 9.2.
    """
    if not nonce.startswith(_NONCE_COOKIE):
        return 0
    encoded = nonce[len(_NONCE_COOKIE) : len(_NONCE_COOKIE) + _FEATURES_CHARACTERS]
    try:
        features = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return 0
    return int.from_bytes(features, "big") if len(features) == 3 else 0


class LongTermCredentials:
    """A user name and password, with the realm, nonce and algorithm that the server wants them used with.

    Args:
        username: The user's name.
        password: The user's password.
        realm: The server's realm when it is known beforehand.
        nonce: A nonce of the server when one is known beforehand; with both, no challenge is needed.

    Attributes:
        key: What messages are authenticated with; None until a realm and a nonce are known.
        integrity: Which integrity attribute requests and their answers carry.
    """

    __slots__ = (
        "_algorithm",
        "_challenged",
        "_nonce",
        "_offered",
        "_password",
        "_realm",
        "_username",
        "integrity",
        "key",
    )

    def __init__(self, username: str, password: str, realm: str | None = None, nonce: str | None = None) -> None:
        self._username = username
        self._password = password
        self._realm = realm
        self._nonce = nonce
        self._offered: tuple[PasswordAlgorithm, ...] = ()
        self._algorithm = MD5_ALGORITHM
        self._challenged = False
        self.key: bytes | None = None
        self.integrity = IntegrityAlgorithm.SHA1
        if realm is not None and nonce is not None:
            self._derive()

    @property
    def challenge(self) -> tuple[str, str] | None:
        """The realm and the nonce that the server last gave; None before there are any."""
        return None if self._realm is None or self._nonce is None else (self._realm, self._nonce)

    def _derive(self) -> None:
        assert self._realm is not None
        self.key = long_term_key(self._username, self._realm, self._password, self._algorithm)

    def attributes(self) -> tuple[AttributeValue, ...]:
        """Return what a request must carry, in front of its integrity; nothing while no challenge has come."""
        if self.key is None or self._realm is None or self._nonce is None:
            return ()
        if security_features(self._nonce) & _USERNAME_ANONYMITY_BIT:
            user: AttributeValue = USERHASH(user_hash(self._username, self._realm))
        else:
            user = USERNAME(self._username)
        common = (user, REALM(self._realm), NONCE(self._nonce))
        if not self._offered:
            return common
        return (*common, PASSWORD_ALGORITHMS(self._offered), PASSWORD_ALGORITHM(self._algorithm))

    def accept_challenge(self, response: Message, asked_with: tuple[AttributeValue, ...]) -> bool:
        """Learn from a 401 or 438 answer what the server wants.

        Args:
            response: The error response. It cannot be authenticated: what it says only ever makes us repeat a
                request, and the password never leaves as anything but the key of a MAC.
            asked_with: The credentials that the refused request carried, from ``attributes``.

        Returns:
            Whether it makes sense to repeat the request with what ``attributes`` returns now.
        """
        error = response.get(ERROR_CODE)
        nonce = response.get(NONCE)
        realm = response.get(REALM) or self._realm
        if error is None or error.code not in (UNAUTHENTICATED, STALE_NONCE) or nonce is None or realm is None:
            return False
        offered: tuple[PasswordAlgorithm, ...] = ()
        features = security_features(nonce)
        if features & (_PASSWORD_ALGORITHMS_BIT | _PASSWORD_ALGORITHMS_REVERSED_BIT):
            offered = response.get(PASSWORD_ALGORITHMS) or ()
        if features & _PASSWORD_ALGORITHMS_BIT and not offered:
            # The list was taken away on the way, to make us use the weaker algorithm.
            return False
        algorithm = next((known for known in offered if known.number in _KNOWN_ALGORITHMS), None)
        if offered and algorithm is None:
            return False
        if (
            error.code == UNAUTHENTICATED
            and self._challenged
            and asked_with == self.attributes()
            and (realm, offered) == (self._realm, self._offered)
        ):
            # The very credentials the server asked for were refused: another nonce does not make them right.
            return False
        self._challenged = True
        self._realm, self._nonce, self._offered = realm, nonce, offered
        self._algorithm = algorithm or MD5_ALGORITHM
        self.integrity = IntegrityAlgorithm.SHA256 if offered else IntegrityAlgorithm.SHA1
        self._derive()
        return True
