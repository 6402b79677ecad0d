"""A program: a website that answers WebSockets, and takes and gives bodies of any size."""

from __future__ import annotations

import hashlib
import socket

from aiohttp import web

from tests.support.tcp_services import pattern

BLOCK = pattern(1 << 20, 7)


async def echo(request: web.Request) -> web.WebSocketResponse:
    """Repeat what is said."""
    websocket = web.WebSocketResponse()
    await websocket.prepare(request)
    async for message in websocket:
        await websocket.send_str(message.data)
    return websocket


async def give(request: web.Request) -> web.StreamResponse:
    """Give so many blocks."""
    count = int(request.match_info["count"])
    response = web.StreamResponse(headers={"Content-Length": str(count * len(BLOCK))})
    await response.prepare(request)
    for _ in range(count):
        await response.write(BLOCK)
    return response


async def take(request: web.Request) -> web.Response:
    """Take a body, and tell what it was."""
    digest, size = hashlib.sha256(), 0
    async for piece in request.content.iter_any():
        digest.update(piece)
        size += len(piece)
    return web.json_response({"size": size, "sha256": digest.hexdigest()})


def main() -> None:
    """Serve on any port of loopback, and say which."""
    application = web.Application(client_max_size=0)
    application.router.add_get("/ws", echo)
    application.router.add_get("/blocks/{count}", give)
    application.router.add_put("/", take)
    listening = socket.create_server(("127.0.0.1", 0), backlog=4096)
    print(listening.getsockname()[1], flush=True)
    web.run_app(application, sock=listening, print=None, access_log=None)


if __name__ == "__main__":
    main()
