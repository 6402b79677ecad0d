"""The HTTP side: the WebSocket upgrade, health and metrics."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from p2p.address import TransportAddress
from p2p.defaults import RENDEZVOUS_CLOSE_TIMEOUT_S, RENDEZVOUS_HEARTBEAT_S, RENDEZVOUS_LOGIN_TIMEOUT_S
from p2p.errors import DecodeError, IntegrityError
from p2p.proto.observed import is_within, observed_address
from p2p.proto.signalling import early_login
from p2p.proto.signalling.messages import MESSAGE_MAX_BYTES, Login
from p2p.proto.signalling.relay_report import REPORT_MAX_BYTES, REPORT_PATH, open_untrusted
from rendezvous.connection import Connection
from rendezvous.core.limits import AddressLimiter
from rendezvous.hub import Hub

logger = logging.getLogger(__name__)

SIGNAL_PATH: Final = "/v1/signal"
HEALTH_PATH: Final = "/healthz"
METRICS_PATH: Final = "/metrics"


class WebApplication:
    """The request handlers.

    Args:
        hub: What all connections share.
        limiter: Counts connections by client address, those behind a trusted proxy too.
        registry: What /metrics shows.
    """

    def __init__(self, hub: Hub, limiter: AddressLimiter, registry: CollectorRegistry) -> None:
        self._hub = hub
        self._limiter = limiter
        self._registry = registry

    def application(self) -> web.Application:
        """Build the aiohttp application."""
        application = web.Application(client_max_size=REPORT_MAX_BYTES)
        application.router.add_get(SIGNAL_PATH, self._signal)
        application.router.add_get(HEALTH_PATH, self._health)
        application.router.add_get(METRICS_PATH, self._metrics)
        application.router.add_post(REPORT_PATH, self._relay_report)
        application.on_response_prepare.append(_hide_versions)
        return application

    async def _signal(self, request: web.Request) -> web.StreamResponse:
        hub = self._hub
        client = self._client(request)
        if hub.is_draining:
            return self._refuse("draining", 503)
        if len(hub.connections) >= hub.config.limits.connections:
            return self._refuse("full", 503)
        if not self._limiter.admit(client.host, hub.loop.time()):
            return self._refuse("address_limit", 429)
        try:
            socket = web.WebSocketResponse(
                timeout=RENDEZVOUS_CLOSE_TIMEOUT_S,
                heartbeat=RENDEZVOUS_HEARTBEAT_S,
                compress=False,
                # aiohttp refuses what reaches this size.
                max_msg_size=MESSAGE_MAX_BYTES + 1,
                decode_text=False,
            )
            await socket.prepare(request)
            if request.transport is not None:
                await Connection(hub, socket, request.transport, client).run(_early_login(request))
            return socket
        finally:
            self._limiter.release(client.host)

    async def _health(self, request: web.Request) -> web.Response:
        if self._hub.is_draining:
            return web.Response(text="draining\n", status=503)
        return web.Response(text="ok\n")

    async def _relay_report(self, request: web.Request) -> web.Response:
        """Take what a relay says of itself; who lacks the secret learns nothing but that."""
        hub, client = self._hub, self._client(request)
        if not self._limiter.admit(client.host, hub.loop.time()):
            return self._refuse("address_limit", 429)
        try:
            async with asyncio.timeout(RENDEZVOUS_LOGIN_TIMEOUT_S):
                data = await request.read()
            if not hub.config.relay_secret:
                raise IntegrityError("this server has no secret to share with relays")
            hub.relays.take(open_untrusted(data, hub.config.relay_secret, hub.now_wall()), hub.loop.time())
        except TimeoutError:
            return self._refuse("slow", 408)
        except (DecodeError, IntegrityError) as error:
            hub.metrics.relay_reports.labels("refused").inc()
            logger.info("report of a relay at %s refused: %s", client.host, error.detail)
            return web.Response(text=f"{error.detail}\n", status=403)
        finally:
            self._limiter.release(client.host)
        hub.metrics.relay_reports.labels("taken").inc()
        return web.Response(status=204)

    async def _metrics(self, request: web.Request) -> web.Response:
        client = self._client(request)
        if not client.ip.is_loopback and not is_within(client.host, self._hub.config.metrics_allowed):
            return web.Response(text="not for you\n", status=403)
        for state, count in self._hub.relays.count(self._hub.loop.time()).items():
            self._hub.metrics.relays.labels(state).set(count)
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    def _client(self, request: web.Request) -> TransportAddress:
        peername = request.transport.get_extra_info("peername") if request.transport else None
        # A client that is gone already has no address any more; its request fails by itself a moment later.
        address = TransportAddress.from_socket(peername) if peername else TransportAddress("0.0.0.0", 0)  # noqa: S104
        forwarded = ",".join(request.headers.getall("X-Forwarded-For", []))
        return observed_address(address, forwarded, self._hub.config.trusted_proxies)

    def _refuse(self, reason: str, status: int) -> web.Response:
        self._hub.metrics.refused.labels(reason).inc()
        return web.Response(text=f"{reason}\n", status=status, headers={"Retry-After": "5", "Connection": "close"})


def _early_login(request: web.Request) -> Login | None:
    try:
        return early_login.from_header_untrusted(request.headers.get("Authorization", ""))
    except DecodeError:
        # Perhaps meant for a proxy in front of us; the challenge decides.
        return None


async def _hide_versions(request: web.Request, response: web.StreamResponse) -> None:
    """Name the product and not the versions under it, which help an attacker only."""
    response.headers["Server"] = "p2p-rendezvous"
