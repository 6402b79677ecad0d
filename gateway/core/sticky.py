"""Cookies that bring a visitor back to the instance that served it before."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Collection, Sequence
from typing import Final

from gateway.core.balance import InstanceT
from gateway.core.headers import Headers

COOKIE: Final = "p2p_instance"
_MAC_BYTES: Final = 18


class StickyCookies:
    """Makes and reads the cookies of a gateway.

    A cookie is a MAC of the service and the instance: it tells a visitor nothing, nobody can make one, and the gateway
    keeps no table, so that it is good after a restart too.

    Args:
        secret: The gateway's own; 32 bytes.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def of(self, title: str, instances: Sequence[InstanceT], instance: InstanceT) -> str:
        """The value for an instance.

        Args:
            title: The service's.
            instances: All of the service.
            instance: One of them.
        """
        # Programs with one key are told apart by their order, which is the same after most restarts.
        same = [other for other in instances if other.key == instance.key]
        number = same.index(instance) if instance in same else 0
        text = f"{title}\0{instance.key}\0{number}"
        mac = hmac.digest(self._secret, text.encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(mac[:_MAC_BYTES]).decode()

    def find(self, title: str, instances: Sequence[InstanceT], value: str | None) -> InstanceT | None:
        """The instance that a visitor's cookie names; None if it names none of them."""
        given = (value or "").encode("utf-8", "surrogateescape")
        for instance in instances:
            if given and hmac.compare_digest(self.of(title, instances, instance).encode(), given):
                return instance
        return None


def cookie_in(headers: Headers) -> str | None:
    """The value of our cookie among a request's headers."""
    for pair in _pairs(headers):
        name, _, value = pair.strip().partition("=")
        if name == COOKIE:
            return value
    return None


def without_cookies(headers: Headers, ours: Collection[str]) -> Headers:
    """Leave cookies of ours out, which are not the service's business, and others as they are.

    Args:
        headers: Of a request.
        ours: The names of our cookies.
    """
    kept = []
    for name, value in headers:
        if name.lower() == "cookie" and any(cookie in value for cookie in ours):
            pairs = [pair for pair in value.split(";") if pair.strip().partition("=")[0] not in ours]
            if pairs:
                kept.append((name, ";".join(pairs).strip()))
        else:
            kept.append((name, value))
    return kept


def set_cookie(value: str, *, is_secure: bool, path: str = "") -> str:
    """Write a Set-Cookie header, for the visitor's browser session, this host, and the path of the service."""
    return f"{COOKIE}={value}; Path={path or '/'}; HttpOnly; SameSite=Lax" + ("; Secure" if is_secure else "")


def _pairs(headers: Headers) -> list[str]:
    return [pair for name, value in headers if name.lower() == "cookie" for pair in value.split(";")]
