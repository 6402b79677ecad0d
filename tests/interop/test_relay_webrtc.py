"""WebRTC through our relay and nothing but it: a browser, and aiortc."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from relay.core.credentials import rest_password
from relay.service import RelayService
from tests.support.relay import SECRET, loopback_config

MESSAGES = 20
MESSAGE_BYTES = 1000

PAGE = """\
<!doctype html>
<p id="result">nothing</p>
<script>
const config = { iceServers: [SERVER], iceTransportPolicy: 'relay' };
const one = new RTCPeerConnection(config), two = new RTCPeerConnection(config);
one.onicecandidate = (event) => event.candidate && two.addIceCandidate(event.candidate);
two.onicecandidate = (event) => event.candidate && one.addIceCandidate(event.candidate);
two.ondatachannel = (event) => { event.channel.onmessage = (message) => event.channel.send(message.data); };
const channel = one.createDataChannel('echo');
let received = 0;
channel.onopen = () => { for (let n = 0; n < MESSAGES; n++) channel.send('x'.repeat(MESSAGE_BYTES)); };
channel.onmessage = async (message) => {
  received += message.data.length;
  if (received < MESSAGES * MESSAGE_BYTES) return;
  const local = [...(await one.getStats()).values()].filter((stat) => stat.type === 'local-candidate');
  const kinds = [...new Set(local.map((stat) => `${stat.candidateType} ${stat.relayProtocol}`))];
  document.getElementById('result').textContent = `${received} bytes, ${kinds.join(', ')}`;
  fetch('/done');
};
(async () => {
  await one.setLocalDescription(await one.createOffer());
  await two.setRemoteDescription(one.localDescription);
  await two.setLocalDescription(await two.createAnswer());
  await one.setRemoteDescription(two.localDescription);
})();
</script>
<img src="/held" alt="">
"""
BROWSER = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--allow-loopback-in-peer-connection"),
    "--ignore-certificate-errors",
    "--dump-dom",
)


@asynccontextmanager
async def serving(page: str) -> AsyncIterator[int]:
    """Serve a page that is not loaded, for a browser that prints what it shows, before ``/done`` was asked for."""
    done = asyncio.Event()

    async def index(request: web.Request) -> web.Response:
        return web.Response(text=page, content_type="text/html")

    async def held(request: web.Request) -> web.Response:
        async with asyncio.timeout(30):
            await done.wait()
        return web.Response(status=404)

    async def finish(request: web.Request) -> web.Response:
        done.set()
        return web.Response()

    application = web.Application()
    application.router.add_get("/", index)
    application.router.add_get("/held", held)
    application.router.add_get("/done", finish)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def url_of(service: RelayService, kind: str) -> str:
    server = getattr(service, f"{kind}_addresses")[0]
    if kind == "tls":
        return f"turns:localhost:{server.port}?transport=tcp"
    return f"turn:{server}?transport={kind}"


@pytest.mark.parametrize("kind", ["udp", "tcp", "tls"])
async def test_chromium_with_nothing_but_the_relay(kind: str, tmp_path: Path) -> None:
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        pytest.skip("chromium is not installed")
    name = f"{int(time.time()) + 600}:visitor"
    async with RelayService(loopback_config()) as service:
        server = {"urls": [url_of(service, kind)], "username": name, "credential": rest_password(SECRET, name)}
        page = PAGE.replace("SERVER", json.dumps(server))
        page = page.replace("MESSAGE_BYTES", str(MESSAGE_BYTES)).replace("MESSAGES", str(MESSAGES))
        async with serving(page) as port:
            process = await asyncio.create_subprocess_exec(
                browser,
                *BROWSER,
                f"--user-data-dir={tmp_path}/profile",
                f"http://127.0.0.1:{port}/",
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
            async with asyncio.timeout(60):
                output, _ = await process.communicate()
        assert f"{MESSAGES * MESSAGE_BYTES} bytes, relay {kind}" in output.decode()
        assert service.counters.bytes_to_clients > MESSAGES * MESSAGE_BYTES
        assert not service.counters.authentication_failures


@pytest.mark.parametrize("kind", ["udp", "tcp"])
async def test_data_channels_of_aiortc_with_nothing_but_the_relay(kind: str) -> None:
    aiortc = pytest.importorskip("aiortc", reason="aiortc is not installed: pip install '.[interop]'")
    async with RelayService(loopback_config()) as service:
        server = aiortc.RTCIceServer(urls=url_of(service, kind), username="alice", credential="wonderland")
        config = aiortc.RTCConfiguration(
            iceServers=[server], iceTransportPolicy=aiortc.rtcconfiguration.RTCIceTransportPolicy.RELAY
        )
        one, two = aiortc.RTCPeerConnection(config), aiortc.RTCPeerConnection(config)
        received: asyncio.Queue[bytes] = asyncio.Queue()
        channel = one.createDataChannel("echo")
        channel.on("message", received.put_nowait)
        channel.on("open", lambda: [channel.send(bytes([n]) * MESSAGE_BYTES) for n in range(MESSAGES)])
        two.on("datachannel", lambda other: other.on("message", other.send))
        try:
            async with asyncio.timeout(30):
                await one.setLocalDescription(await one.createOffer())
                await two.setRemoteDescription(one.localDescription)
                await two.setLocalDescription(await two.createAnswer())
                await one.setRemoteDescription(two.localDescription)
                assert [await received.get() for _ in range(MESSAGES)] == [
                    bytes([n]) * MESSAGE_BYTES for n in range(MESSAGES)
                ]
            for line in one.localDescription.sdp.splitlines():
                assert not line.startswith("a=candidate") or " typ relay " in line
            assert service.counters.bytes_to_clients > MESSAGES * MESSAGE_BYTES
        finally:
            await asyncio.gather(one.close(), two.close())
        for _ in range(500):
            if not service.allocations:
                break
            await asyncio.sleep(0.01)
        assert not service.allocations
