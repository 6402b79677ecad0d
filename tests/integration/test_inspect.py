"""The inspector beside an exposer: what passes is shown, sent again, and kept from other sites."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from p2p.address import TransportAddress
from p2p.errors import ConfigError
from p2p.inspect.site import Inspector
from p2p.session.events import Inspecting
from tests.support.gateway_world import gateway_world, mirror, website
from tests.support.peers import world

LOOPBACK = TransportAddress("127.0.0.1", 0)
OURS = {"X-P2P-Inspect": "1"}


@asynccontextmanager
async def inspected(folder: Path) -> AsyncIterator[tuple[str, str, aiohttp.ClientSession]]:
    """A mirror, exposed and connected to; its address, the inspector's, and somebody to ask both."""
    async with world(folder) as peers, website(mirror) as port:
        offer, news, _ = await peers.expose(port, inspect=LOOPBACK)
        page = (await news.wait_for(Inspecting)).url
        _, _, _, address = await peers.connect(offer.ticket)
        async with aiohttp.ClientSession() as session:
            yield f"http://{address}", page, session


async def ask(session: aiohttp.ClientSession, url: str, **options: Any) -> Any:
    async with session.get(url, **options) as response:
        assert response.status == 200, await response.text()
        return await response.json()


async def test_a_request_is_shown_masked_and_sent_again(tmp_path):
    async with inspected(tmp_path) as (site, page, session):
        async with session.post(f"{site}/a?b=c", data=b"hello", headers={"Authorization": "Bearer 123"}) as response:
            assert (await response.json())["body"] == 5
        (row,) = await ask(session, f"{page}/api/exchanges")
        assert (row["method"], row["target"], row["status"], row["request_size"]) == ("POST", "/a?b=c", 200, 5)
        found = await ask(session, f"{page}/api/exchanges/{row['number']}")
        assert ["Authorization", "(hidden, 10 characters)"] in found["request"]["headers"]
        assert found["request"]["body"]["text"] == "hello"
        assert "Bearer 123" not in json.dumps([found["request"], found["curl"]])
        open_ = await ask(session, f"{page}/api/exchanges/{row['number']}?unmasked=1")
        assert "Authorization: Bearer 123" in open_["curl"]

        replay = f"{page}/api/exchanges/{row['number']}/replay"
        async with session.post(replay, headers=OURS) as response:
            again = await response.json()
        assert (again["replay_of"], again["target"], again["status"]) == (row["number"], "/a?b=c", 200)
        changes = {"method": "PUT", "target": "/other", "headers": [["Host", "x"]], "body": "changed!"}
        async with session.post(replay, headers=OURS, json=changes) as response:
            edited = await response.json()
        body = (await ask(session, f"{page}/api/exchanges/{edited['number']}"))["response"]["body"]["text"]
        assert json.loads(body)["method"] == "PUT"
        assert json.loads(body)["body"] == 8
        archive = await ask(session, f"{page}/api/har")
        assert [entry["request"]["method"] for entry in archive["log"]["entries"]] == ["POST", "POST", "PUT"]


@pytest.mark.parametrize(
    "changes", [b"{", b'{"x":1}', b'{"method":"A B"}', b'{"target":"/ x"}', b'{"headers":[["a","\\n"]]}']
)
async def test_what_cannot_be_sent_is_refused(tmp_path, changes):
    async with inspected(tmp_path) as (site, page, session):
        await ask(session, site)
        async with session.post(f"{page}/api/exchanges/1/replay", headers=OURS, data=changes) as response:
            assert response.status == 502


async def test_other_sites_are_kept_out(tmp_path):
    async with inspected(tmp_path) as (site, page, session):
        await ask(session, site)
        async with session.get(f"{page}/api/exchanges", headers={"Host": "evil.example"}) as response:
            assert response.status == 403
        async with session.post(f"{page}/api/exchanges/1/replay") as response:
            assert response.status == 403
        async with session.delete(f"{page}/api/exchanges") as response:
            assert response.status == 403
        async with session.get(page) as response:
            assert "default-src 'self'" in response.headers["Content-Security-Policy"]
        async with session.delete(f"{page}/api/exchanges", headers=OURS) as response:
            assert response.status == 204
        async with session.get(f"{page}/api/exchanges/1") as response:
            assert response.status == 404


async def test_the_page_is_told_of_what_passes(tmp_path):
    async with inspected(tmp_path) as (site, page, session), session.get(f"{page}/api/events") as events:
        await ask(session, f"{site}/now")
        async with asyncio.timeout(10):
            async for line in events.content:
                if b'"status": 200' in line:
                    assert b"/now" in line
                    break


def test_only_this_machine_may_look():
    with pytest.raises(ConfigError, match="read all that passes"):
        Inspector(TransportAddress("0.0.0.0", 0))


async def test_visitors_of_a_gateway_are_shown_too(tmp_path):
    async with gateway_world(tmp_path) as there, website(mirror) as port:
        _, news, _ = await there.publish(port, expose={"inspect": LOOPBACK}, name="blog")
        page = (await news.wait_for(Inspecting)).url
        async with there.get("/from-outside") as response:
            assert response.status == 200
        async with aiohttp.ClientSession() as session:
            (row,) = await ask(session, f"{page}/api/exchanges")
            assert row["target"] == "/from-outside"
            async with session.post(f"{page}/api/exchanges/1/replay", headers=OURS) as response:
                assert response.status == 200


async def test_the_page_works_in_a_browser(tmp_path):
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("chromium is not installed")
    async with inspected(tmp_path) as (site, page, session):
        await ask(session, f"{site}/seen-in-the-browser")
        process = await asyncio.create_subprocess_exec(
            program,
            *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-proxy-server"),
            *(f"--user-data-dir={tmp_path}/browser", "--virtual-time-budget=3000", "--dump-dom", f"{page}/#paused"),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        async with asyncio.timeout(60):
            text = (await process.communicate())[0].decode()
        assert re.search(r'<button type="button">GET /seen-in-the-browser</button>', text)
