"""Visitors that log in with their browser."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from p2p.session.issuers import IssuerKeysError
from p2p.session.oidc import OidcProvider as Client
from p2p.session.options import OidcOptions
from tests.support.gateway_world import GatewayWorld, gateway_world, mirror, website
from tests.support.oidc_provider import CLIENT, SECRET, OidcProvider, oidc_provider
from tests.support.tokens import SigningKey

PAGE = {"Accept": "text/html"}


class Browser:
    """Keeps cookies, each with its host."""

    def __init__(self, there: GatewayWorld) -> None:
        self.cookies: dict[tuple[str, str], str] = {}
        self._there = there

    async def get(self, path: str, host: str = "blog.gw.test", **headers: str) -> tuple[int, str, str]:
        """Ask the gateway; tells status, Location and text."""
        cookie = "; ".join(f"{name}={value}" for (of, name), value in self.cookies.items() if of == host)
        sent = {**PAGE, **({"Cookie": cookie} if cookie else {}), **headers}
        async with self._there.get(path, host=host, headers=sent) as response:
            for cookie in response.headers.getall("Set-Cookie", []):
                pair, *attributes = cookie.split("; ")
                assert {"Path=/", "HttpOnly", "SameSite=Lax"} <= set(attributes)
                assert not any(attribute.startswith("Domain") for attribute in attributes)
                name, _, value = pair.partition("=")
                self.cookies[host, name] = value
            return response.status, response.headers.get("Location", ""), await response.text()

    async def log_in(self, path: str = "/", host: str = "blog.gw.test") -> tuple[int, str]:
        """Go to the issuer and come back; tells status and Location of what the gateway says then."""
        status, location, _ = await self.get(path, host)
        assert status == 303
        status, location, _ = await self.get(await self.at_the_issuer(location), host)
        return status, location

    async def at_the_issuer(self, location: str) -> str:
        """Follow the issuer's redirect; tells the path at the gateway."""
        async with self._there.visitor.get(location, allow_redirects=False) as response:
            back = urlsplit(response.headers["Location"])
            return f"{back.path}?{back.query}"


@asynccontextmanager
async def blog(path: Path, *allow: str, **fields: Any) -> AsyncIterator[tuple[GatewayWorld, OidcProvider]]:
    async with oidc_provider() as provider, gateway_world(path) as there, website(mirror) as port:
        oidc = OidcOptions(issuer=provider.url, client=CLIENT, secret=SECRET, allow=allow)
        for name in ("blog", "other"):
            await there.publish(port, name=name, oidc=oidc, **fields)
        yield there, provider


async def test_a_visitor_logs_in_and_the_service_hears_who_it_is(tmp_path):
    async with blog(tmp_path, "@example.org") as (there, provider):
        browser = Browser(there)
        assert await browser.log_in("/a%2Fb?c=d") == (303, "http://blog.gw.test/a%2Fb?c=d")
        lies = {"X-Forwarded-User": "boss", "X_Forwarded_Email": "boss@example.org", "Authorization": "Bearer own"}
        browser.cookies["blog.gw.test", "own"] = "1"
        status, _, text = await browser.get("/a%2Fb?c=d", **lies)
        assert status == 200
        headers = [(name.lower().replace("_", "-"), value) for name, value in json.loads(text)["headers"]]
        told = {name: [value for other, value in headers if other == name] for name, _ in headers}
        assert told["x-forwarded-user"] == ["u1"]
        assert told["x-forwarded-email"] == ["ann@example.org"]
        assert told["x-forwarded-preferred-username"] == ["Ann Ä"]
        assert told["cookie"] == ["own=1"]
        assert told["authorization"] == ["Bearer own"]
        # A second tab, and then out.
        assert (await browser.get("/b"))[0] == 200
        assert provider.redeemed == 1
        await browser.get("/.p2p/logout")
        assert (await browser.get("/b"))[0] == 303


async def test_what_is_no_browser_is_answered_with_401(tmp_path):
    async with blog(tmp_path) as (there, _):
        for method, headers in (("GET", {}), ("POST", PAGE)):
            async with there.get("/", method=method, headers=headers) as response:
                assert response.status == 401


@pytest.mark.parametrize(
    "lies",
    [
        {"nonce": "another"},
        {"aud": "another"},
        {"aud": [CLIENT, "another"], "azp": "another"},
        {"iss": "https://another.example"},
        {"exp": int(time.time()) - 3600},
        {"email": "eve@example.com"},
        {"email": "eve@example.com@example.org.evil"},
        {"email_verified": False},
        {"email_verified": None},
        {"sub": ""},
    ],
)
async def test_who_may_not_come_does_not(tmp_path, lies):
    async with blog(tmp_path, "@example.org") as (there, provider):
        provider.lies = lies
        browser = Browser(there)
        assert (await browser.log_in())[0] == 403
        assert (await browser.get("/"))[0] == 303


@pytest.mark.parametrize("lies", [{"name": "\ud800x"}, {"sub": "\ud800"}, {"nonce": "\ud800"}, {"azp": [1]}])
async def test_half_a_character_ends_no_publisher(tmp_path, lies):
    async with blog(tmp_path) as (there, provider):
        provider.lies = lies
        await Browser(there).log_in()
        provider.lies = {}
        assert (await Browser(there).log_in())[0] == 303


async def test_a_token_that_somebody_else_signed_is_not_taken(tmp_path):
    async with blog(tmp_path) as (there, provider):
        provider.key = SigningKey("ES256", "k1")
        assert (await Browser(there).log_in())[0] == 403
        # A new key of the issuer's own is read when it is first seen.
        provider.key = SigningKey("EdDSA", "k2")
        assert (await Browser(there).log_in())[0] == 303


async def test_only_who_began_a_login_ends_it(tmp_path):
    async with blog(tmp_path) as (there, provider):
        victim, thief = Browser(there), Browser(there)
        _, location, _ = await thief.get("/")
        back = await thief.at_the_issuer(location)
        # The thief sends a link that would log the victim in as the thief.
        assert (await victim.get(back))[0] == 403
        await victim.get("/")
        assert (await victim.get(back))[0] == 403
        assert (await thief.get(back, host="other.gw.test"))[0] == 403
        assert provider.redeemed == 0
        for nonsense in ("", "?state=x&code=y", "?error=access_denied", back.replace("code=code", "code=%0A")):
            assert (await thief.get(f"/.p2p/login{nonsense.removeprefix('/.p2p/login')}"))[0] == 403
        assert (await thief.get(back))[0] == 303
        assert (await thief.get(back))[0] == 403, "a code is good for once"


async def test_a_session_is_for_one_host_and_cannot_be_made(tmp_path):
    async with blog(tmp_path) as (there, _):
        browser = Browser(there)
        await browser.log_in()
        session = browser.cookies["blog.gw.test", "p2p_login"]
        assert (await browser.get("/"))[0] == 200
        other = Browser(there)
        for value in (session, session[:-2] + "AA", "", "x", browser.cookies["blog.gw.test", "p2p_browser"]):
            other.cookies["other.gw.test", "p2p_login"] = value
            assert (await other.get("/", host="other.gw.test"))[0] == 303


async def test_nobody_is_sent_to_another_host(tmp_path):
    async with blog(tmp_path) as (there, _):
        for path in ("//evil.example/x", "/\\evil.example", f"/{'x' * 2000}"):
            _, location = await Browser(there).log_in(path)
            assert location.startswith("http://blog.gw.test/")


async def test_an_issuer_that_is_away_is_told():
    async with oidc_provider() as provider:
        url = provider.url
    with pytest.raises(IssuerKeysError):
        await Client(OidcOptions(issuer=url, client=CLIENT)).read()
    async with website(mirror) as port:
        with pytest.raises(IssuerKeysError):
            await Client(OidcOptions(issuer=f"http://127.0.0.1:{port}", client=CLIENT)).read()
