"""Pages of a login: to the issuer, back from it, and out."""

from __future__ import annotations

import logging
import time
from typing import Final

import msgspec
from aiohttp import web

from gateway.core.headers import Visit
from gateway.core.login import LOGOUT_PATH, PATH, Logins
from gateway.core.names import host_of_header
from gateway.core.paths import path_of
from gateway.core.registry import Service
from gateway.publishers import Publisher
from p2p.errors import IntegrityError
from p2p.proto.login import Claims, OidcLogin

logger = logging.getLogger(__name__)

_NOT_KEPT: Final = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}


class NotLetInError(Exception):
    """A login came to nothing."""


class LoginPages:
    """Logs visitors in.

    Args:
        logins: Begins and ends logins.
        server: The Server header of responses.
    """

    def __init__(self, logins: Logins, server: str) -> None:
        self._logins = logins
        self._headers = {**_NOT_KEPT, "Server": server}

    def who(self, request: web.BaseRequest, login: OidcLogin | None, visit: Visit) -> Claims | None:
        """Tell who a visitor is, if it has logged in."""
        headers = list(request.headers.items())
        host, is_secure = host_of_header(visit.host), visit.scheme == "https"
        return self._logins.who(login, host, headers, time.time(), is_secure=is_secure)

    def begin(
        self, request: web.BaseRequest, service: Service[Publisher], login: OidcLogin, visit: Visit
    ) -> web.Response | None:
        """Send a visitor to its issuer; None for what is no page in a browser, and would not come back."""
        if request.method not in ("GET", "HEAD") or "text/html" not in request.headers.get("Accept", ""):
            return None
        headers = list(request.headers.items())
        base, host = f"{visit.scheme}://{visit.host}{service.path}", host_of_header(visit.host)
        start = self._logins.begin(login, base, host, visit.target, headers, time.time())
        return self._redirect(start.location, start.cookie)

    async def answer(
        self, request: web.BaseRequest, service: Service[Publisher], login: OidcLogin, visit: Visit
    ) -> web.Response | None:
        """Answer what is for a login; None for what is for the service.

        Raises:
            NotLetInError: The visitor may not come, or this is no login that it began.
        """
        path, is_secure = path_of(visit.target).removeprefix(service.path), visit.scheme == "https"
        if path == LOGOUT_PATH:
            cookie = self._logins.forget(is_secure=is_secure)
            return web.Response(text="You are logged out here.\n", headers={**self._headers, "Set-Cookie": cookie})
        if path != PATH:
            return None
        claims, target = await self._redeem(request, service, visit)
        host = host_of_header(visit.host)
        cookie = self._logins.remember(claims, login, host, time.time(), is_secure=is_secure)
        # With the host in front: a path of two slashes would be another host's.
        return self._redirect(f"{visit.scheme}://{visit.host}{target}", cookie)

    async def _redeem(self, request: web.BaseRequest, service: Service[Publisher], visit: Visit) -> tuple[Claims, str]:
        question = request.query
        host, is_secure = host_of_header(visit.host), visit.scheme == "https"
        headers = list(request.headers.items())
        try:
            pending = self._logins.resume(question.get("state", ""), host, headers, time.time(), is_secure=is_secure)
            claims = await service.deciding.redemptions.redeem(
                code=question.get("code", ""),
                verifier=pending.verifier,
                nonce=pending.nonce,
                redirect=f"{visit.scheme}://{visit.host}{service.path}{PATH}",
            )
        except (IntegrityError, TimeoutError, msgspec.ValidationError) as error:
            logger.info("login at %s: %r %s", service.title, error, question.get("error", ""))
            raise NotLetInError from error
        if claims is None:
            raise NotLetInError
        return claims, pending.target

    def _redirect(self, location: str, cookie: str) -> web.Response:
        return web.Response(status=303, headers={**self._headers, "Location": location, "Set-Cookie": cookie})
