"""Who may use the relay: static users, and the widely used time-limited credentials that need no database.

A time-limited user name is ``expiry:anything`` with the Unix time of its end; the password is
base64(HMAC-SHA1(shared secret, user name)).

Source: draft-uberti-behave-turn-rest-00, RFC 8489 section 9.2.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from p2p.errors import IntegrityError
from p2p.proto.stun.integrity import long_term_key


def rest_password(shared_secret: str, username: str) -> str:
    """Make the password of a time-limited user name.

    Args:
        shared_secret: What the issuer of credentials and the relay share.
        username: ``expiry:anything``.
    """
    return base64.b64encode(hmac.digest(shared_secret.encode(), username.encode(), hashlib.sha1)).decode()


@dataclass(frozen=True, slots=True)
class UserKeys:
    """What a user name stands for.

    Attributes:
        keys: Long-term keys, each of which authenticates the user; several while a secret is being changed.
        quota_owner: Whom to count the quota for: all time-limited names of one peer are one owner.
    """

    keys: tuple[bytes, ...] = field(repr=False)
    quota_owner: str


class CredentialStore:
    """Finds the keys of a user name.

    Args:
        realm: The relay's realm.
        static_users: Passwords by user name.
        shared_secrets: Secrets of time-limited credentials; all are accepted, so that one can replace another.
    """

    def __init__(
        self, realm: str, *, static_users: Mapping[str, str] | None = None, shared_secrets: Sequence[str] = ()
    ) -> None:
        self._realm = realm
        self._static = {
            username: UserKeys((long_term_key(username, realm, password),), username)
            for username, password in (static_users or {}).items()
        }
        self._shared_secrets = tuple(shared_secrets)

    def find(self, username: str, now_wall: float) -> UserKeys:
        """Find a user.

        Args:
            username: As received.
            now_wall: Unix time in seconds.

        Raises:
            IntegrityError: Nobody has this name, or its time is over.
        """
        static = self._static.get(username)
        if static is not None:
            return static
        expiry, separator, owner = username.partition(":")
        # Twelve digits reach past the year 30,000; int() of a longer text would be work for strangers.
        if not (self._shared_secrets and separator and expiry.isascii() and expiry.isdigit() and len(expiry) <= 12):
            raise IntegrityError("unknown user name")
        if int(expiry) <= now_wall:
            raise IntegrityError("the credentials have expired")
        keys = tuple(
            long_term_key(username, self._realm, rest_password(secret, username)) for secret in self._shared_secrets
        )
        return UserKeys(keys, owner or username)
