"""Whom the gateway lets through to a service."""

from __future__ import annotations

import base64
import binascii
import hashlib
import ipaddress
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from gateway.core.client_certificates import check_authorities
from gateway.core.webhooks import WebhookCheck
from p2p.errors import ConfigError, IntegrityError
from p2p.proto.observed import IpNetwork, is_within
from p2p.proto.publication import Access, Issuer
from p2p.proto.token_bucket import TokenBucket
from p2p.tokens import TokenCheck, UnknownKeyError

ADDRESSES_REMEMBERED: Final = 10_000
"""Visitors whose rate is remembered for a service; the one that came longest ago is forgotten first."""
_TOKEN_MAX_CHARACTERS: Final = 8192
_SUBJECT_MAX_CHARACTERS: Final = 256
_BURST_S: Final = 2.0
"""A visitor that was quiet may do at once what it may do in this time."""


class Verdict(Enum):
    """What the gateway does with a request or connection."""

    WELCOME = "welcome"
    ADDRESS_DENIED = "address"
    """The visitor's address may not come."""
    CREDENTIALS_NEEDED = "credentials"
    """There were none, or wrong ones."""
    UNSIGNED = "unsigned"
    """Only signed requests may come, and it has no signature."""
    IF_SIGNED = "signature"
    """Welcome if the signature over its body is right, which only the whole body can tell."""
    TOO_MANY = "rate"
    """The visitor comes too often, or has too many at a time."""


@dataclass(slots=True)
class _Visitor:
    bucket: TokenBucket | None
    open: int = 0


class AccessPolicy:
    """The policy of one service, and what it remembers of its visitors.

    Args:
        access: As the publisher asked for it.

    Raises:
        ConfigError: A network or a key is none, or a basic credential has no colon.

    Attributes:
        misses_key: Whether a token named a key that is not known; whoever reads it resets it.
        who: What the request that came last has proven to be: a user, a token's subject, a kind of sender; or empty.
    """

    def __init__(self, access: Access) -> None:
        self.access = access
        self._allow = _networks(access.allow)
        self._deny = _networks(access.deny)
        if any(":" not in pair for pair in access.basic):
            raise ConfigError("a basic credential is written user:password")
        # By digest: how long a comparison takes says nothing about the secrets. Tokens have no name but their place.
        self._credentials = {_digest(f"basic {pair}"): pair.partition(":")[0] for pair in access.basic}
        self._credentials |= {_digest(f"bearer {token}"): f"bearer {n}" for n, token in enumerate(access.bearer, 1)}
        self._tokens = TokenCheck(access.jwt)
        if access.client_ca:
            check_authorities(access.client_ca)
        self._webhooks = WebhookCheck(access.webhooks)
        self.misses_key = False
        self.who = ""
        self._visitors: OrderedDict[str, _Visitor] = OrderedDict()

    @property
    def needs_credentials(self) -> bool:
        """Whether a visitor has to log in here."""
        return bool(self.reads_authorization or self.access.oidc)

    @property
    def reads_authorization(self) -> bool:
        """Whether a visitor can log in by the header Authorization, so that what is in it is not for the service."""
        return bool(self._credentials or self.access.jwt)

    @property
    def takes_passwords(self) -> bool:
        """Whether a browser should ask its user for a name and a password."""
        return bool(self.access.basic)

    def set_keys(self, issuers: tuple[Issuer, ...]) -> None:
        """Take the keys that issuers have now.

        Raises:
            ConfigError: A key is none, or there is another number of issuers: that would be another policy.
        """
        if len(issuers) != len(self.access.jwt):
            raise ConfigError("keys for other issuers than those of the policy")
        self._tokens = TokenCheck(issuers)

    def admits_address(self, host: str) -> bool:
        """Whether a visitor from this IP address may come at all."""
        return not is_within(host, self._deny) and (not self._allow or is_within(host, self._allow))

    def enter(
        self, host: str, headers: Mapping[str, str], now: float, now_wall: float, *, has_logged_in: bool = False
    ) -> Verdict:
        """Decide about a request or connection. One that is welcome, or is so if it is signed, must ``leave``.

        Args:
            host: The visitor's IP address.
            headers: Of an HTTP request, their names found in any case; empty where there is none.
            now: The monotonic time.
            now_wall: Unix time in seconds.
            has_logged_in: Whether the visitor has logged in with its browser.
        """
        self.who = ""
        if not self.admits_address(host):
            return Verdict.ADDRESS_DENIED
        visitor = self._visitor(host)
        # Before the credentials, so that guessing them is as slow as everything else.
        if visitor.bucket is not None and not visitor.bucket.take(now):
            return Verdict.TOO_MANY
        verdict = Verdict.WELCOME if has_logged_in else self._verdict(headers, now_wall)
        if verdict is Verdict.CREDENTIALS_NEEDED or verdict is Verdict.UNSIGNED:
            return verdict
        if self.access.connections and visitor.open >= self.access.connections:
            return Verdict.TOO_MANY
        visitor.open += 1
        return verdict

    def check_signature(self, headers: Mapping[str, str], body: bytes, now_wall: float) -> None:
        """Check what was let in for its signature only.

        Args:
            headers: Of the request.
            body: The whole body as it came.
            now_wall: Unix time in seconds.

        Raises:
            IntegrityError: It is not signed by somebody who is expected.
        """
        self.who = f"webhook {self._webhooks.check(headers, body, now_wall)}"

    def leave(self, host: str) -> None:
        """A request or connection of a visitor that passed has ended."""
        visitor = self._visitors.get(host)
        if visitor is not None:
            visitor.open = max(0, visitor.open - 1)

    def _visitor(self, host: str) -> _Visitor:
        visitor = self._visitors.get(host)
        if visitor is None:
            rate = self.access.requests_per_s
            visitor = _Visitor(TokenBucket(rate, max(1.0, rate * _BURST_S)) if rate else None)
            self._visitors[host] = visitor
            if len(self._visitors) > ADDRESSES_REMEMBERED:
                self._forget_one()
        self._visitors.move_to_end(host)
        return visitor

    def _forget_one(self) -> None:
        idle = next((host for host, visitor in self._visitors.items() if not visitor.open), None)
        if idle is not None:
            del self._visitors[idle]

    def _verdict(self, headers: Mapping[str, str], now_wall: float) -> Verdict:
        if not (self.needs_credentials or self._webhooks) or self._knows(headers.get("Authorization", ""), now_wall):
            return Verdict.WELCOME
        if self._webhooks.is_claimed(headers):
            return Verdict.IF_SIGNED
        return Verdict.CREDENTIALS_NEEDED if self.needs_credentials else Verdict.UNSIGNED

    def _knows(self, authorization: str, now_wall: float) -> bool:
        scheme, _, value = authorization.partition(" ")
        value = value.strip()
        if scheme.lower() == "basic":
            try:
                value = base64.b64decode(value, validate=True).decode()
            except (binascii.Error, UnicodeDecodeError):
                return False
        digest = _digest(f"{scheme.lower()} {value}")
        self.who = self._credentials.get(digest, "")
        return digest in self._credentials or (scheme.lower() == "bearer" and self._knows_token(value, now_wall))

    def _knows_token(self, token: str, now_wall: float) -> bool:
        if not self.access.jwt or len(token) > _TOKEN_MAX_CHARACTERS:
            return False
        try:
            claims = self._tokens.check(token, now_wall)
        except UnknownKeyError:
            self.misses_key = True
            return False
        except IntegrityError:
            return False
        self.who = str(claims.get("sub", ""))[:_SUBJECT_MAX_CHARACTERS]
        return True


def _networks(texts: tuple[str, ...]) -> tuple[IpNetwork, ...]:
    try:
        return tuple(ipaddress.ip_network(text, strict=False) for text in texts)
    except ValueError as error:
        raise ConfigError(f"not a network: {error}") from error


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
