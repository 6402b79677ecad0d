"""A small issuer of OpenID Connect, whose only user is logged in already."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from tests.support.tokens import SigningKey, key_set

CLIENT, SECRET = "blog", "s3cret:+&"


class OidcProvider:
    def __init__(self) -> None:
        self.url = ""
        self.key = SigningKey("ES256", "k1")
        self.user: dict[str, Any] = {"sub": "u1", "email": "Ann@example.org", "email_verified": True, "name": "Ann\nÄ"}
        self.lies: dict[str, Any] = {}
        """Claims of tokens that are not as they should be."""
        self.redeemed = 0
        self._codes: dict[str, dict[str, str]] = {}

    async def metadata(self, request: web.Request) -> web.Response:
        ends = {name: f"{self.url}/{name}" for name in ("authorize", "token", "jwks")}
        return web.json_response(
            {
                "issuer": self.url,
                "authorization_endpoint": ends["authorize"],
                "token_endpoint": ends["token"],
                "jwks_uri": ends["jwks"],
            }
        )

    async def authorize(self, request: web.Request) -> web.Response:
        asked = dict(request.query)
        assert (asked["response_type"], asked["client_id"]) == ("code", CLIENT)
        assert asked["code_challenge_method"] == "S256"
        code = f"code-{len(self._codes)}"
        self._codes[code] = asked
        back = urlencode({"code": code, "state": asked["state"]})
        raise web.HTTPFound(f"{asked['redirect_uri']}?{back}")

    async def token(self, request: web.Request) -> web.Response:
        form = dict(await request.post())
        pair = base64.b64encode(f"{CLIENT}:s3cret%3A%2B%26".encode()).decode()
        if request.headers.get("Authorization") != f"Basic {pair}":
            raise web.HTTPUnauthorized
        asked = self._codes.pop(str(form["code"]), None)
        digest = hashlib.sha256(str(form["code_verifier"]).encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        if (
            asked is None
            or challenge != asked["code_challenge"]
            or form["redirect_uri"] != asked["redirect_uri"]
            or form["grant_type"] != "authorization_code"
        ):
            raise web.HTTPBadRequest
        self.redeemed += 1
        now = int(time.time())
        times = {"iat": now, "exp": now + 60}
        claims = {"iss": self.url, "aud": CLIENT, "nonce": asked["nonce"], **times, **self.user, **self.lies}
        return web.json_response({"access_token": "x", "token_type": "Bearer", "id_token": self.key.token(**claims)})

    async def jwks(self, request: web.Request) -> web.Response:
        return web.Response(body=key_set(self.key), content_type="application/json")


@asynccontextmanager
async def oidc_provider() -> AsyncIterator[OidcProvider]:
    provider = OidcProvider()
    app = web.Application()
    app.router.add_get("/.well-known/openid-configuration", provider.metadata)
    app.router.add_get("/authorize", provider.authorize)
    app.router.add_post("/token", provider.token)
    app.router.add_get("/jwks", provider.jwks)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    provider.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield provider
    finally:
        await runner.cleanup()
