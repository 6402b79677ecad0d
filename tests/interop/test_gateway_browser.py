"""Chromium as a visitor: HTTP/2 by its own choice, and a login with its cookies."""

from __future__ import annotations

import asyncio
import html
import json
import re
import shutil
from asyncio.subprocess import DEVNULL, PIPE
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.ingress.tls import CertificateFiles
from p2p.session.options import OidcOptions
from tests.support.authority import Authority
from tests.support.gateway_world import CONFIG, LOOPBACK, gateway_world, mirror, website
from tests.support.oidc_provider import CLIENT, SECRET, oidc_provider

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(BROWSER is None, reason="chromium is not installed")


async def dump_dom(url: str, profile: Path) -> str:
    """Open a page in a browser for which every name is this machine."""
    process = await asyncio.create_subprocess_exec(
        *(str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
        *(f"--user-data-dir={profile}", "--host-resolver-rules=MAP *.gw.test 127.0.0.1", "--no-proxy-server"),
        *("--ignore-certificate-errors", "--dump-dom", url),
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=DEVNULL,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode()


async def test_a_browser_logs_in(tmp_path):
    authority = Authority(tmp_path, "*.gw.test")
    files = (CertificateFiles(authority.certificate, authority.key),)
    config = replace(CONFIG, https=(LOOPBACK,), certificates=files)
    async with oidc_provider() as provider, gateway_world(tmp_path, config) as there, website(mirror) as port:
        oidc = OidcOptions(issuer=provider.url, client=CLIENT, secret=SECRET, allow=("ann@example.org",))
        await there.publish(port, name="blog", oidc=oidc)
        url = f"https://blog.gw.test:{there.gateway.https_addresses[0].port}/page?a=b"
        shown = html.unescape(re.sub("<[^>]*>", "", await dump_dom(url, tmp_path / "profile")))
        said = json.loads(shown[shown.index("{") : shown.rindex("}") + 1])
        headers = dict(said["headers"])
        assert said["path"] == "/page?a=b"
        assert headers["X-Forwarded-Email"] == "ann@example.org"
        assert "Cookie" not in headers
        # Its cookies are those of a browser that knows what __Host- means: the second time there is no login.
        await dump_dom(url, tmp_path / "profile")
        assert provider.redeemed == 1
