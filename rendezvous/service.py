"""The rendezvous as one object: starts and stops its listeners, its STUN service and its connections."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Final, Self

from aiohttp import web
from prometheus_client import CollectorRegistry

from p2p.address import TransportAddress
from p2p.aio.tasks import TaskScope
from p2p.defaults import (
    RENDEZVOUS_ADDRESS_TABLE,
    RENDEZVOUS_CLOSE_TIMEOUT_S,
    RENDEZVOUS_LOGIN_TIMEOUT_S,
    RENDEZVOUS_SOCKETS_PER_HOST,
)
from p2p.proto.observed import is_within
from p2p.proto.signalling.codes import SignallingCode
from rendezvous.config import Limits, RendezvousConfig, StunConfig
from rendezvous.core.credentials import RealmNonce
from rendezvous.core.limits import AddressLimiter
from rendezvous.core.registry import MemoryRegistry, Registry
from rendezvous.http_log import http_logger
from rendezvous.hub import Hub
from rendezvous.knocking import KnockDesk
from rendezvous.listener import Listener, ProtocolFactory, load_certificate, server_context
from rendezvous.metrics import Metrics
from rendezvous.stun import StunService
from rendezvous.web import WebApplication

__all__ = ["Limits", "RendezvousConfig", "RendezvousService", "StunConfig"]

logger = logging.getLogger(__name__)

_DRAIN_SHARE: Final = 0.8
"""Clients move within this part of a drain; the rest is for those that were late."""


class RendezvousService:
    """A rendezvous, serving inside its ``async with`` block. The constructor starts nothing.

    Args:
        config: What to listen on and whom to admit.
        registry: Where metrics are registered; None makes a registry of its own.
        store: Who is online; None keeps it in memory.
        foreign_protocol: Makes the protocol of a connection that begins with a STUN message, so that TURN shares the
            ports; None answers STUN Binding requests there and nothing else.
        challenge_of: Tells a relay's current realm and nonce by its URL, where this process knows them.
        note_host: Told where clients are, for a relay in this process that serves nobody else.

    Attributes:
        stun: The STUN service, or None; give it to a relay as its ``binding_service`` and call its ``share``.
        listen_addresses: What plain HTTP is served on, with the real ports.
        listen_tls_addresses: What HTTPS is served on, with the real ports.
    """

    def __init__(
        self,
        config: RendezvousConfig,
        *,
        registry: CollectorRegistry | None = None,
        store: Registry | None = None,
        foreign_protocol: ProtocolFactory | None = None,
        challenge_of: Callable[[str], RealmNonce | None] | None = None,
        note_host: Callable[[str], None] | None = None,
    ) -> None:
        self._config = config
        self._collectors = CollectorRegistry() if registry is None else registry
        self._metrics = Metrics(self._collectors)
        # Compared with None: a store with nobody online is empty, and an empty container is false.
        self._store = MemoryRegistry(services_per_peer=config.limits.services_per_peer) if store is None else store
        self._challenge_of = challenge_of
        self._note_host = note_host
        self.stun: Final = StunService(config.stun, self._metrics) if config.stun else None
        self._foreign = foreign_protocol or (self.stun.stream_protocol if self.stun else None)
        self.listen_addresses: tuple[TransportAddress, ...] = ()
        self.listen_tls_addresses: tuple[TransportAddress, ...] = ()
        self._stack = AsyncExitStack()
        self._hub: Hub | None = None
        self._context: ssl.SSLContext | None = None

    async def __aenter__(self) -> Self:
        try:
            await self._start(self._stack)
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # What the block raised is not told to the task scope, which would wrap it in a group.
        await self._stack.aclose()

    @property
    def connection_count(self) -> int:
        """How many clients are connected, logged in or not."""
        return len(self._running.connections)

    def reload(self, config: RendezvousConfig) -> None:
        """Take tokens, limits, servers and certificate files from a new configuration.

        Clients that the new tokens do not admit are dismissed. Addresses to listen on stay as they are.

        Raises:
            ConfigError: The certificate files are not usable; nothing has changed then.
        """
        if self._context is not None and config.tls_certificate is not None and config.tls_key is not None:
            load_certificate(self._context, config.tls_certificate, config.tls_key)
        hub = self._running
        hub.stun_servers = self._stun_servers(config)
        hub.reload(config)
        logger.info("configuration taken: %d admission tokens", len(config.tokens))

    async def drain(self, deadline_s: float | None = None) -> None:
        """Send clients away gently: refuse new ones, tell those here, and wait until they have gone.

        Args:
            deadline_s: How long to wait; then the rest is told why and closed. None takes it from the configuration.
        """
        hub = self._running
        wait_s = hub.config.drain_s if deadline_s is None else deadline_s
        logger.info("draining %d connections within %g s", len(hub.connections), wait_s)
        await hub.announce_drain(within_s=wait_s * _DRAIN_SHARE)
        try:
            async with asyncio.timeout(wait_s):
                await hub.idle.wait()
        except TimeoutError:
            logger.info("%d connections stayed to the end of the drain", len(hub.connections))
        await self._say_goodbye(hub)

    async def _start(self, stack: AsyncExitStack) -> None:
        """Open everything; ``stack`` closes it in the reverse order."""
        limits = self._config.limits
        tasks = await stack.enter_async_context(TaskScope())
        if self.stun is not None:
            await stack.enter_async_context(self.stun)
        hub = self._hub = Hub(
            config=self._config,
            registry=self._store,
            metrics=self._metrics,
            tasks=tasks,
            challenge_of=self._challenge_of,
            note_host=self._note_host,
            stun_servers=self._stun_servers(self._config),
        )
        if self.stun is not None:
            self.stun.take_knock = KnockDesk(hub).take
        limiter = AddressLimiter(
            rate_per_s=limits.connects_per_s,
            burst=limits.connect_burst,
            open_limit=limits.connections_per_address,
            table_size=RENDEZVOUS_ADDRESS_TABLE,
        )
        runner = web.AppRunner(
            WebApplication(hub, limiter, self._collectors).application(),
            access_log=None,
            logger=http_logger,
            # Counts from the first byte to the end of the headers, too.
            keepalive_timeout=RENDEZVOUS_LOGIN_TIMEOUT_S,
            shutdown_timeout=RENDEZVOUS_CLOSE_TIMEOUT_S,
        )
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        assert runner.server is not None, "a runner that was set up has a server"
        listener = Listener(
            runner.server,
            self._foreign,
            waiting_limit=limits.connections,
            host_limit=max(RENDEZVOUS_SOCKETS_PER_HOST, 2 * limits.connections_per_address),
            is_proxy=lambda host: is_within(host, hub.config.trusted_proxies),
        )
        stack.push_async_callback(self._say_goodbye, hub)
        stack.callback(listener.close)
        await self._listen(listener)

    @property
    def _running(self) -> Hub:
        assert self._hub is not None, "the service runs inside its async with block"
        return self._hub

    async def _listen(self, listener: Listener) -> None:
        config = self._config
        if config.listen_tls:
            assert config.tls_certificate is not None
            assert config.tls_key is not None
            self._context = server_context(config.tls_certificate, config.tls_key)
        self.listen_addresses = tuple([await listener.listen(address) for address in config.listen])
        self.listen_tls_addresses = tuple(
            [await listener.listen(address, self._context) for address in config.listen_tls]
        )
        for address in (*self.listen_addresses, *self.listen_tls_addresses):
            logger.info("signalling on %s", address)

    def _stun_servers(self, config: RendezvousConfig) -> tuple[TransportAddress, ...]:
        if config.stun_servers or self.stun is None:
            return config.stun_servers
        return self.stun.public_addresses

    async def _say_goodbye(self, hub: Hub) -> None:
        hub.is_draining = True
        hub.dismiss_all(SignallingCode.DRAINING, "this server goes down")
        try:
            async with asyncio.timeout(2 * RENDEZVOUS_CLOSE_TIMEOUT_S):
                await hub.idle.wait()
        except TimeoutError:
            logger.warning("%d connections did not end", len(hub.connections))
