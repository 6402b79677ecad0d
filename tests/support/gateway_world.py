"""A gateway on loopback, what publishes at it, and a visitor."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from gateway.config import GatewayConfig
from gateway.service import Gateway
from p2p.address import TransportAddress
from p2p.session.events import GatewayReady, Public
from p2p.session.options import PublicOptions
from tests.support.peers import News, World, world

LOOPBACK = TransportAddress("127.0.0.1", 0)
CONFIG = GatewayConfig(domain="gw.test", http=(LOOPBACK,), port_hosts=("127.0.0.1",))


class GatewayWorld:
    """A gateway, and what publishes at it."""

    def __init__(self, peers: World, gateway: Gateway, visitor: aiohttp.ClientSession) -> None:
        self.peers = peers
        self.gateway = gateway
        self.visitor = visitor

    async def publish(
        self, service_port: Any, expose: dict[str, Any] | None = None, **fields: Any
    ) -> tuple[Any, News, asyncio.Task[Any]]:
        """Expose a port and publish it."""
        public = PublicOptions(**{"gateways": (self.gateway.ticket,), **fields})
        exposer, news, task = await self.peers.expose(service_port, public=public, **expose or {})
        await news.wait_for(Public)
        return exposer, news, task

    def get(self, path: str, host: str = "blog.gw.test", method: str = "GET", **options: Any) -> Any:
        """Ask the gateway, or another one, for something, as a visitor."""
        headers = {"Host": host, **options.pop("headers", {})}
        gateway = options.pop("by", self.gateway)
        url = f"http://{gateway.http_addresses[0]}{path}"
        return self.visitor.request(method, url, headers=headers, allow_redirects=False, **options)


@asynccontextmanager
async def running_gateway(
    peers: World, name: str, config: GatewayConfig = CONFIG, **fields: Any
) -> AsyncIterator[Gateway]:
    """Run a gateway with this configuration, and with whatever else it takes."""
    news = News()
    stop = asyncio.Event()
    gateway = Gateway(config, peers.options(name), on_event=news.tell, **fields)
    async with gateway, asyncio.TaskGroup() as group:
        running = group.create_task(gateway.run_until(stop))
        await news.wait_for(GatewayReady)
        try:
            yield gateway
        finally:
            stop.set()
            await running


@asynccontextmanager
async def gateway_world(folder: Path, config: GatewayConfig = CONFIG, **fields: Any) -> AsyncIterator[GatewayWorld]:
    """Run a gateway and a rendezvous for it."""
    async with (
        world(folder) as peers,
        running_gateway(peers, "gateway", config, **fields) as gateway,
        aiohttp.ClientSession(auto_decompress=False) as visitor,
    ):
        yield GatewayWorld(peers, gateway, visitor)


@asynccontextmanager
async def website(handler: Callable[[web.Request], Any]) -> AsyncIterator[int]:
    runner = web.ServerRunner(web.Server(handler))  # type: ignore[arg-type]
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def mirror(request: web.BaseRequest) -> web.Response:
    """Tell what was asked."""
    size = 0
    async for piece in request.content.iter_any():
        size += len(piece)
    said = {
        "method": request.method,
        "path": request.raw_path,
        "body": size,
        "headers": list(request.headers.items()),
    }
    return web.Response(text=json.dumps(said), content_type="application/json", headers={"X-Own": "yes"})
