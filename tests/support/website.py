"""A small web site that uses what browsers and curl can do over HTTP/1.1."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager

from aiohttp import WSMsgType, web

PAGE = """\
<!doctype html>
<link rel="stylesheet" href="/style.css">
<p id="style"></p><p id="fetched"></p><p id="echoed"></p>
<script src="/script.js"></script>
<img src="/held" alt="">
"""
SCRIPT = """\
const put = (id, text) => { document.getElementById(id).textContent = text; };
put('style', getComputedStyle(document.getElementById('style')).color);
const socket = new WebSocket(`ws://${location.host}/socket`);
socket.onopen = () => socket.send('x'.repeat(100000));
socket.onmessage = async (message) => {
  put('echoed', `${message.data.length} characters`);
  const answer = await fetch('/upload', { method: 'POST', body: new Uint8Array(300000) });
  put('fetched', await answer.text());
  socket.send('done');
};
"""
PIECES = tuple(bytes([number]) * 10_000 for number in range(100))


@contextmanager
def website(content: bytes) -> Iterator[int]:
    """Serve it on loopback, in a thread.

    Args:
        content: What ``/file`` holds.
    """
    started: Future[tuple[int, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        stop = asyncio.Event()
        async with _serving(content) as port:
            started.set_result((port, asyncio.get_running_loop(), stop))
            await stop.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    port, loop, stop = started.result(10)
    try:
        yield port
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()


@asynccontextmanager
async def _serving(content: bytes) -> AsyncIterator[int]:
    is_done = asyncio.Event()

    async def page(request: web.Request) -> web.Response:
        return web.Response(text=PAGE, content_type="text/html")

    async def script(request: web.Request) -> web.Response:
        return web.Response(text=SCRIPT, content_type="text/javascript")

    async def style(request: web.Request) -> web.Response:
        return web.Response(text="p { color: rgb(1, 2, 3) }", content_type="text/css")

    async def held(request: web.Request) -> web.Response:
        """Keep the page from being complete until its script is through."""
        await asyncio.wait_for(is_done.wait(), 30)
        return web.Response(status=404)

    async def file(request: web.Request) -> web.Response:
        return web.Response(body=content)

    async def upload(request: web.Request) -> web.Response:
        digest, length = hashlib.sha256(), 0
        async for data in request.content.iter_any():
            digest.update(data)
            length += len(data)
        how = request.headers.get("Transfer-Encoding", "whole")
        return web.Response(text=f"{length} bytes {how} {digest.hexdigest()}")

    async def pieces(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        for piece in PIECES:
            await response.write(piece)
        await response.write_eof()
        return response

    async def socket(request: web.Request) -> web.WebSocketResponse:
        response = web.WebSocketResponse()
        await response.prepare(request)
        async for message in response:
            if message.type is not WSMsgType.TEXT:
                break
            if message.data == "done":
                is_done.set()
            else:
                await response.send_str(message.data)
        return response

    app = web.Application(client_max_size=1 << 30)
    for path, handler in {
        "/": page,
        "/script.js": script,
        "/style.css": style,
        "/held": held,
        "/file": file,
        "/pieces": pieces,
        "/socket": socket,
    }.items():
        app.router.add_get(path, handler)
    app.router.add_route("*", "/upload", upload)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
