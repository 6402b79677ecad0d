"""Logins of browsers by OpenID Connect: the authorization code flow, without a table of who is about to log in."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from typing import Final, NamedTuple
from urllib.parse import urlencode

import msgspec
from msgspec import Struct

from gateway.core.headers import Headers
from gateway.core.seals import Seals
from p2p.errors import IntegrityError
from p2p.proto.login import Claims, OidcLogin

PATH: Final = "/.p2p/login"
"""Where issuers send visitors back to, on the service's own host."""
LOGOUT_PATH: Final = "/.p2p/logout"
LOGIN_WITHIN_S: Final = 600.0
"""How long a visitor may take at its issuer: a password, a second factor, a mail."""
SESSION_S: Final = 12 * 3600.0
"""How long a login counts: a working day. Who still has a session at the issuer sees a redirect and nothing else."""
TARGET_MAX_CHARACTERS: Final = 1024
"""The longest path that a visitor is brought back to; it travels to the issuer and back in a URL."""

_SESSION: Final = "p2p_login"
_BROWSER: Final = "p2p_browser"
COOKIES: Final = frozenset({name for plain in (_SESSION, _BROWSER) for name in (plain, f"__Host-{plain}")})
"""The names of our cookies, which are not the service's business."""
_RANDOM_BYTES: Final = 32


class Pending(Struct, frozen=True, kw_only=True):
    """A login that was begun."""

    host: str
    target: str
    browser: str
    verifier: str
    nonce: str
    until: float


class _Session(Struct, frozen=True, kw_only=True):
    host: str
    rules: str
    claims: Claims
    until: float


class Start(NamedTuple):
    """What sends a visitor to its issuer.

    Attributes:
        location: The issuer's page.
        cookie: A Set-Cookie header.
    """

    location: str
    cookie: str


class Logins:
    """Begins and ends logins.

    Cookies have the prefix ``__Host-`` where there is TLS, so that a neighbour on another name below the same domain
    cannot set them (RFC 6265bis section 4.1.3.2).

    Args:
        seals: Of the gateway.
        random_bytes: Source of what nobody guesses.
    """

    def __init__(self, seals: Seals, random_bytes: Callable[[int], bytes]) -> None:
        self._seals = seals
        self._random_bytes = random_bytes

    def begin(self, login: OidcLogin, base: str, host: str, target: str, headers: Headers, now_wall: float) -> Start:
        """Send a visitor to its issuer.

        Args:
            login: Of the service.
            base: ``https://blog.example``, with the service's path: the service as the visitor wrote it.
            host: Its host name alone.
            target: The path that the visitor wants.
            headers: Of its request.
            now_wall: Unix time in seconds.
        """
        is_secure = base.startswith("https:")
        # The same for all tabs, each of which may be about to log in.
        browser = _cookie(headers, _name(_BROWSER, is_secure=is_secure))
        if not browser or not browser.isascii():
            browser = self._secret()
        pending = Pending(
            host=host,
            target=target if len(target) <= TARGET_MAX_CHARACTERS else "/",
            browser=hashlib.sha256(browser.encode()).hexdigest(),
            verifier=self._secret(),
            nonce=self._secret(),
            until=now_wall + LOGIN_WITHIN_S,
        )
        question = {
            "response_type": "code",
            "client_id": login.client,
            "redirect_uri": base + PATH,
            "scope": login.scopes,
            "state": self._seals.seal(pending),
            "nonce": pending.nonce,
            "code_challenge": _encoded(hashlib.sha256(pending.verifier.encode()).digest()),
            "code_challenge_method": "S256",
        }
        mark = "&" if "?" in login.authorize else "?"
        cookie = _set_cookie(_BROWSER, browser, LOGIN_WITHIN_S, is_secure=is_secure)
        return Start(f"{login.authorize}{mark}{urlencode(question)}", cookie)

    def resume(self, state: str, host: str, headers: Headers, now_wall: float, *, is_secure: bool) -> Pending:
        """Take a visitor back.

        Args:
            state: As the issuer sent it back.
            host: The host name that the visitor came back to.
            headers: Of its request.
            now_wall: Unix time in seconds.
            is_secure: Whether it came with TLS.

        Raises:
            IntegrityError: This browser has not begun this login here, or too long ago.
        """
        pending = self._seals.open(state, Pending)
        browser = _cookie(headers, _name(_BROWSER, is_secure=is_secure)) or ""
        digest = hashlib.sha256(browser.encode("utf-8", "surrogateescape")).hexdigest()
        if pending.host != host or pending.until < now_wall or not hmac.compare_digest(pending.browser, digest):
            raise IntegrityError("a login of somebody else, or of long ago")
        return pending

    def remember(self, claims: Claims, login: OidcLogin, host: str, now_wall: float, *, is_secure: bool) -> str:
        """Write the Set-Cookie header of a visitor that has logged in."""
        session = _Session(host=host, rules=_rules(login), claims=claims, until=now_wall + SESSION_S)
        return _set_cookie(_SESSION, self._seals.seal(session), SESSION_S, is_secure=is_secure)

    def forget(self, *, is_secure: bool) -> str:
        """Write the Set-Cookie header of a visitor that logs out."""
        return _set_cookie(_SESSION, "", 0, is_secure=is_secure)

    def who(
        self, login: OidcLogin | None, host: str, headers: Headers, now_wall: float, *, is_secure: bool
    ) -> Claims | None:
        """Tell who a visitor is, if it has logged in here by the rules of now."""
        value = _cookie(headers, _name(_SESSION, is_secure=is_secure)) if login is not None else None
        if login is None or not value:
            return None
        try:
            session = self._seals.open(value, _Session)
        except IntegrityError:
            return None
        is_good = session.host == host and session.rules == _rules(login) and session.until >= now_wall
        return session.claims if is_good else None

    def _secret(self) -> str:
        return _encoded(self._random_bytes(_RANDOM_BYTES))


def claims_for_service(claims: Claims) -> tuple[tuple[str, str], ...]:
    """Tell the service who a visitor is, in the headers that oauth2-proxy has made usual."""
    told = {
        "X-Forwarded-User": claims.subject,
        "X-Forwarded-Email": claims.email,
        "X-Forwarded-Preferred-Username": claims.name,
    }
    return tuple((name, value) for name, value in told.items() if value)


def _rules(login: OidcLogin) -> str:
    return hashlib.sha256(msgspec.json.encode(login)).hexdigest()


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _name(plain: str, *, is_secure: bool) -> str:
    return f"__Host-{plain}" if is_secure else plain


def _set_cookie(plain: str, value: str, age_s: float, *, is_secure: bool) -> str:
    secure = "; Secure" if is_secure else ""
    return f"{_name(plain, is_secure=is_secure)}={value}; Path=/; Max-Age={age_s:.0f}; HttpOnly; SameSite=Lax{secure}"


def _cookie(headers: Headers, name: str) -> str | None:
    for header, value in headers:
        if header.lower() == "cookie":
            for pair in value.split(";"):
                key, _, given = pair.strip().partition("=")
                if key == name:
                    return given
    return None
