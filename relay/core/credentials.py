"""Who may use the relay: static users, and the widely used time-limited credentials that need no database.

A time-limited user name is ``expiry:anything`` with the Unix time of its end; the password is
base64(HMAC-SHA1(shared secret, user name)).

Source: draft-uberti-behave-turn-rest-00, RFC 8489 section 9.2.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from p2p.errors import IntegrityError
from p2p.proto.stun.attributes import MD5_ALGORITHM, SHA256_ALGORITHM, PasswordAlgorithm
from p2p.proto.stun.integrity import long_term_key, user_hash

PasswordLookup: TypeAlias = Callable[[str], str | None]
"""Finds the password of a user name, None for a name that nobody has. Called on the event loop, so it must be quick."""


def rest_password(shared_secret: str, username: str) -> str:
    """Make the password of a time-limited user name.

    Args:
        shared_secret: What the issuer of credentials and the relay share.
        username: ``expiry:anything``.
    """
    return base64.b64encode(hmac.digest(shared_secret.encode(), username.encode(), hashlib.sha1)).decode()


class LongTermKeys(NamedTuple):
    """The keys of one user name and password: a client picks the algorithm anew with each challenge.

    Attributes:
        md5: For clients that name no algorithm, and for those that choose this one.
        sha256: For clients that choose it.
    """

    md5: bytes
    sha256: bytes

    @classmethod
    def derive(cls, username: str, realm: str, password: str) -> LongTermKeys:
        """Make the keys.

        Args:
            username: The user's name.
            realm: The relay's realm.
            password: The user's password.
        """
        return cls(
            long_term_key(username, realm, password, MD5_ALGORITHM),
            long_term_key(username, realm, password, SHA256_ALGORITHM),
        )

    def of(self, algorithm: PasswordAlgorithm) -> bytes:
        """Return the key for one of the two algorithms."""
        return self.sha256 if algorithm == SHA256_ALGORITHM else self.md5

    def __repr__(self) -> str:
        return "LongTermKeys(...)"


@dataclass(frozen=True, slots=True)
class UserKeys:
    """What a user name stands for.

    Attributes:
        username: The name that the keys belong to.
        keys: Long-term keys, each of which authenticates the user; several while a secret is being changed.
        quota_owner: Whom to count the quota for: all time-limited names of one peer are one owner.
    """

    username: str
    keys: tuple[LongTermKeys, ...] = field(repr=False)
    quota_owner: str


class CredentialStore:
    """Finds the keys of a user name.

    Args:
        realm: The relay's realm.
        static_users: Passwords by user name.
        shared_secrets: Secrets of time-limited credentials; all are accepted, so that one can replace another.
        password_of: Asked for names that are neither of the two, if given.
    """

    def __init__(
        self,
        realm: str,
        *,
        static_users: Mapping[str, str] | None = None,
        shared_secrets: Sequence[str] = (),
        password_of: PasswordLookup | None = None,
    ) -> None:
        self._realm = realm
        self._static = {
            username: UserKeys(username, (LongTermKeys.derive(username, realm, password),), username)
            for username, password in (static_users or {}).items()
        }
        self._name_of_hash = {user_hash(username, realm): username for username in self._static}
        self._shared_secrets = tuple(shared_secrets)
        self._password_of = password_of

    @property
    def knows_all_names(self) -> bool:
        """Whether every user can be found by the hash of the name: names that are made elsewhere cannot."""
        return not self._shared_secrets and self._password_of is None

    def find_hashed(self, hashed: bytes, now_wall: float) -> UserKeys:
        """Find a static user by USERHASH.

        Args:
            hashed: As received.
            now_wall: Unix time in seconds.

        Raises:
            IntegrityError: No static user has a name with this hash.

        Source: RFC 8489 section 9.2.4.
        """
        username = self._name_of_hash.get(hashed)
        if username is None:
            raise IntegrityError("unknown user name")
        return self.find(username, now_wall)

    def find(self, username: str, now_wall: float) -> UserKeys:
        """Find a user.

        Args:
            username: As received.
            now_wall: Unix time in seconds.

        Raises:
            IntegrityError: Nobody has this name, or its time is over.
        """
        found, expires_wall = self._look_up(username)
        if expires_wall is not None and expires_wall <= now_wall:
            raise IntegrityError("the credentials have expired")
        return found

    def is_guessable(self, username: str | None) -> bool:
        """Tell whether the password of a name may be one that people make up: those of time-limited names never are.

        Args:
            username: As received; None where it is hidden.
        """
        return not self._shared_secrets or username is None or _expiry_of(username) is None

    def still_holds(self, username: str, keys: LongTermKeys) -> bool:
        """Tell whether keys are those of a user, expired or not.

        Args:
            username: The user's name.
            keys: What the user once proved to have.
        """
        try:
            found, _ = self._look_up(username)
        except IntegrityError:
            return False
        return keys in found.keys

    def _look_up(self, username: str) -> tuple[UserKeys, int | None]:
        """Find a user, and the Unix time at which the credentials end, if they do."""
        static = self._static.get(username)
        if static is not None:
            return static, None
        owner = username.partition(":")[2]
        expires_wall = _expiry_of(username) if self._shared_secrets else None
        if expires_wall is not None:
            passwords = [rest_password(secret, username) for secret in self._shared_secrets]
        else:
            password = self._password_of(username) if self._password_of is not None else None
            if not password:
                raise IntegrityError("unknown user name")
            passwords, owner = [password], username
        keys = tuple(LongTermKeys.derive(username, self._realm, password) for password in passwords)
        return UserKeys(username, keys, owner or username), expires_wall


def _expiry_of(username: str) -> int | None:
    """Read the Unix time in a time-limited user name."""
    expiry, separator, _ = username.partition(":")
    # Twelve digits reach past the year 30,000; int() of a longer text would be work for strangers.
    if not (separator and expiry.isascii() and expiry.isdigit() and len(expiry) <= 12):
        return None
    return int(expiry)
