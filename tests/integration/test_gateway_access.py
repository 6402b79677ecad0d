"""Tokens and signatures with which visitors of a gateway come in."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from pathlib import Path

import pytest
from aiohttp import web

from p2p.defaults import ISSUER_KEYS_EVERY_S
from p2p.proto.publication import Access, Webhook
from p2p.session.events import Problem
from p2p.session.issuers import IssuerKeysError, Issuers
from p2p.session.options import IssuerOptions, PublicOptions
from tests.support.gateway_world import GatewayWorld, gateway_world, mirror, website
from tests.support.tokens import SigningKey, key_set


class IssuerSite:
    """An OpenID issuer whose keys change."""

    def __init__(self, *keys: SigningKey) -> None:
        self.keys = keys
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def answer(self, request: web.BaseRequest) -> web.Response:
        if request.path == "/.well-known/openid-configuration":
            return web.json_response({"issuer": self.url, "jwks_uri": f"{self.url}/keys"})
        if request.path == "/keys":
            return web.Response(body=key_set(*self.keys))
        return web.Response(status=404)


def later() -> int:
    return int(time.time()) + 600


async def ask(there: GatewayWorld, token: str) -> int:
    async with there.get("/", headers={"Authorization": f"Bearer {token}"}) as response:
        if response.status == 200:
            assert "Authorization" not in dict((await response.json())["headers"])
        else:
            assert response.headers["WWW-Authenticate"].startswith("Bearer ")
        return int(response.status)


async def test_tokens_of_an_issuer_let_in_and_its_new_keys_are_taken(tmp_path):
    old, new = SigningKey("RS256", "old"), SigningKey("EdDSA", "new")
    issuer = IssuerSite(old)
    async with gateway_world(tmp_path) as there, website(mirror) as port, website(issuer.answer) as issuer.port:
        options = IssuerOptions(location=issuer.url, audience=("blog",))
        await there.publish(port, name="blog", issuers=(options,))
        good = {"iss": issuer.url, "aud": "blog", "exp": later()}
        assert await ask(there, old.token(**good)) == 200
        assert await ask(there, old.token(**good | {"exp": int(time.time()) - 600})) == 401
        assert await ask(there, old.token(**good | {"aud": "shop"})) == 401
        assert await ask(there, old.token(**good | {"iss": "https://else.example"})) == 401
        assert await ask(there, "") == 401
        # The key that a token names is asked for, long before keys are read again anyway.
        issuer.keys = (new,)
        async with asyncio.timeout(ISSUER_KEYS_EVERY_S / 30):
            while await ask(there, new.token(**good)) != 200:
                await asyncio.sleep(0.02)
        assert await ask(there, old.token(**good)) == 401


async def test_a_key_set_is_a_file_or_a_url(tmp_path):
    key = SigningKey("ES256")
    site = IssuerSite(key)
    file = tmp_path / "keys.json"
    file.write_bytes(key_set(key))
    async with website(site.answer) as site.port:
        places = (str(file), f"{site.url}/keys", site.url)
        issuers = await Issuers([IssuerOptions(location=place) for place in places]).read()
        assert {issuer.keys for issuer in issuers} == {(key.public,)}
        assert [issuer.issuer for issuer in issuers] == ["", "", site.url]
        file.write_bytes(b"{}")
        for wrong in (f"{site.url}/nothing", f"http://localhost:{site.port}", str(file), str(tmp_path / "none")):
            with pytest.raises(IssuerKeysError):
                await Issuers([IssuerOptions(location=wrong)]).read()
    with pytest.raises(IssuerKeysError, match="https only"):
        await Issuers([IssuerOptions(location="http://192.0.2.1/keys")]).read()


async def test_keys_that_were_read_stay_in_use(tmp_path):
    key = SigningKey("ES256")
    file = tmp_path / "keys.json"
    file.write_bytes(key_set(key))
    issuers = Issuers([IssuerOptions(location=str(file))])
    known = await issuers.read()
    file.unlink()
    assert await issuers.read() == known


async def test_a_publisher_tells_that_the_keys_are_not_there(tmp_path):
    async with gateway_world(tmp_path) as there, website(mirror) as port:
        public = PublicOptions(
            gateways=(there.gateway.ticket,),
            name="blog",
            issuers=(IssuerOptions(location=str(Path(tmp_path) / "none")),),
        )
        _, news, _ = await there.peers.expose(port, public=public)
        assert (await news.wait_for(Problem)).error.code == "P2P-1509"


def signed(body: bytes, secret: str = "secret") -> dict[str, str]:
    return {"X-Hub-Signature-256": "sha256=" + hmac.digest(secret.encode(), body, hashlib.sha256).hex()}


async def test_webhooks_come_in_by_their_signature_which_the_service_sees_too(tmp_path):
    access = Access(webhooks=(Webhook(kind="github", secret="secret"),))
    async with gateway_world(tmp_path) as there, website(mirror) as port:
        await there.publish(port, name="blog", access=access)
        body = bytes(1 << 20)
        async with there.get("/hook", method="POST", data=body, headers=signed(body)) as response:
            said = await response.json()
            assert (response.status, said["body"]) == (200, len(body))
            assert set(signed(body).items()) <= {tuple(pair) for pair in said["headers"]}
        for headers in (signed(body, "wrong"), {}):
            async with there.get("/hook", method="POST", data=body, headers=headers) as response:
                assert (response.status, response.headers["X-P2P-Problem"]) == (403, "signature")


async def test_what_is_held_for_a_signature_is_bounded(tmp_path, monkeypatch):
    access = Access(webhooks=(Webhook(kind="github", secret="secret"),))
    async with gateway_world(tmp_path) as there, website(mirror) as port:
        await there.publish(port, name="blog", access=access)
        monkeypatch.setattr("gateway.ingress.signed_body.BODY_MAX_BYTES", 1000)
        body = bytes(1001)

        async def pieces():
            yield body[:600]
            yield body[600:]

        for data in (body, pieces()):
            async with there.get("/", method="POST", data=data, headers=signed(body)) as response:
                assert response.status == 413
        bodies = there.gateway._http._bodies
        left = bodies._left_bytes
        bodies._left_bytes = 500
        async with there.get("/", method="POST", data=body[:600], headers=signed(body[:600])) as response:
            assert (response.status, response.headers["X-P2P-Problem"]) == (503, "busy")
        assert bodies._left_bytes == 500, "and given back"
        bodies._left_bytes = left
        monkeypatch.setattr("gateway.ingress.signed_body.BODY_WITHIN_S", 0.05)

        async def slow():
            yield b"x"
            await asyncio.sleep(0.3)
            yield b"y"

        async with there.get("/", method="POST", data=slow(), headers=signed(b"xy")) as response:
            assert response.status == 408
        assert bodies._left_bytes == left
