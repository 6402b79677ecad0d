"""Whom the gateway lets through to a service."""

from __future__ import annotations

import base64
import binascii
import hashlib
import ipaddress
from collections import OrderedDict
from dataclasses import dataclass
from enum import Enum
from typing import Final

from p2p.errors import ConfigError
from p2p.proto.observed import IpNetwork, is_within
from p2p.proto.publication import Access
from p2p.proto.token_bucket import TokenBucket

ADDRESSES_REMEMBERED: Final = 10_000
"""Visitors whose rate is remembered for a service; the one that came longest ago is forgotten first."""
_BURST_S: Final = 2.0
"""A visitor that was quiet may do at once what it may do in this time."""


class Verdict(Enum):
    """What the gateway does with a request or connection."""

    WELCOME = "welcome"
    ADDRESS_DENIED = "address"
    """The visitor's address may not come."""
    CREDENTIALS_NEEDED = "credentials"
    """There were none, or wrong ones."""
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
        ConfigError: A network is none, or a basic credential has no colon.
    """

    def __init__(self, access: Access) -> None:
        self.access = access
        self._allow = _networks(access.allow)
        self._deny = _networks(access.deny)
        if any(":" not in pair for pair in access.basic):
            raise ConfigError("a basic credential is written user:password")
        # By digest: how long a comparison takes says nothing about the secrets.
        self._credentials = {_digest(f"basic {pair}") for pair in access.basic}
        self._credentials |= {_digest(f"bearer {token}") for token in access.bearer}
        self._visitors: OrderedDict[str, _Visitor] = OrderedDict()

    @property
    def needs_credentials(self) -> bool:
        """Whether a visitor must log in."""
        return bool(self._credentials)

    def admits_address(self, host: str) -> bool:
        """Whether a visitor from this IP address may come at all."""
        return not is_within(host, self._deny) and (not self._allow or is_within(host, self._allow))

    def enter(self, host: str, authorization: str | None, now: float) -> Verdict:
        """Decide about a request or connection. One that passes must ``leave``.

        Args:
            host: The visitor's IP address.
            authorization: The header of an HTTP request; None where there is none.
            now: The monotonic time.
        """
        if not self.admits_address(host):
            return Verdict.ADDRESS_DENIED
        visitor = self._visitor(host)
        # Before the credentials, so that guessing them is as slow as everything else.
        if visitor.bucket is not None and not visitor.bucket.take(now):
            return Verdict.TOO_MANY
        if self._credentials and not self._knows(authorization):
            return Verdict.CREDENTIALS_NEEDED
        if self.access.connections and visitor.open >= self.access.connections:
            return Verdict.TOO_MANY
        visitor.open += 1
        return Verdict.WELCOME

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

    def _knows(self, authorization: str | None) -> bool:
        scheme, _, value = (authorization or "").partition(" ")
        value = value.strip()
        if scheme.lower() == "basic":
            try:
                value = base64.b64decode(value, validate=True).decode()
            except (binascii.Error, UnicodeDecodeError):
                return False
        digest = _digest(f"{scheme.lower()} {value}")
        return digest in self._credentials


def _networks(texts: tuple[str, ...]) -> tuple[IpNetwork, ...]:
    try:
        return tuple(ipaddress.ip_network(text, strict=False) for text in texts)
    except ValueError as error:
        raise ConfigError(f"not a network: {error}") from error


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
