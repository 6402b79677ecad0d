"""Who may log in, and what for: the list of admission tokens."""

from __future__ import annotations

import fnmatch
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

from p2p.proto.signalling.codes import SignallingCode
from rendezvous.core.refusal import Refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionToken:
    """One token, as the operator wrote it."""

    secret: str = field(repr=False)
    """What the client shows."""
    name: str
    """Whom it was given to, for logs."""
    services: tuple[str, ...] = ("*",)
    """Patterns (``web``, ``team-*``) of the service names that may be published."""
    relay: bool = True
    """Whether relay credentials are handed out."""
    expires_wall: float | None = None
    """Unix seconds after which it admits nobody; None for never."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What a login may do.

    Attributes:
        token_name: The token it came with; empty for an open server.
        services: Patterns of the service names that may be published.
        relay: Whether relay credentials are handed out.
        token_digest: Names the token after a reload; None for an open server.
        expires_wall: When it ends, Unix seconds; None for never.
    """

    token_name: str
    services: tuple[str, ...]
    relay: bool
    token_digest: bytes | None = None
    expires_wall: float | None = None

    def check_publish(self, service: str) -> None:
        """Refuse a service name that the token does not cover.

        Raises:
            Refusal: It does not.
        """
        if not any(fnmatch.fnmatchcase(service, pattern) for pattern in self.services):
            raise Refusal(SignallingCode.NOT_ALLOWED, f"the admission token does not cover service {service!r}")


class Admission:
    """The tokens of a server. Replaced as a whole when the operator changes the list.

    Args:
        tokens: Those that admit.
        is_open: Whether a client without a token is admitted to everything.
    """

    def __init__(self, tokens: Iterable[AdmissionToken], *, is_open: bool) -> None:
        # By digest: how long the look-up of a wrong token takes says nothing about the right ones.
        self._tokens = {_digest(token.secret): token for token in tokens}
        self._is_open = is_open

    def check(self, secret: str | None, *, now_wall: float) -> Scope:
        """Admit a login.

        Args:
            secret: The token that the client showed.
            now_wall: The present, in Unix seconds.

        Raises:
            Refusal: It has none where one is needed, or one that does not admit.
        """
        if secret is None:
            if not self._is_open:
                raise Refusal(SignallingCode.TOKEN_REQUIRED, "this server needs an admission token")
            return Scope("", ("*",), relay=True)
        digest = _digest(secret)
        token = self._tokens.get(digest)
        if token is None or (token.expires_wall is not None and now_wall >= token.expires_wall):
            raise Refusal(SignallingCode.TOKEN_REFUSED, "the admission token is unknown, expired or revoked")
        return Scope(token.name, token.services, token.relay, digest, token.expires_wall)

    def recheck(self, scope: Scope, *, now_wall: float) -> Scope:
        """What an earlier login may do under this list.

        Args:
            scope: From ``check``, perhaps of an earlier list.
            now_wall: The present, in Unix seconds.

        Raises:
            Refusal: It would not be admitted now.
        """
        if scope.token_digest is None:
            return self.check(None, now_wall=now_wall)
        token = self._tokens.get(scope.token_digest)
        if token is None or (token.expires_wall is not None and now_wall >= token.expires_wall):
            raise Refusal(SignallingCode.TOKEN_REFUSED, "the admission token has expired or was revoked")
        return Scope(token.name, token.services, token.relay, scope.token_digest, token.expires_wall)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
