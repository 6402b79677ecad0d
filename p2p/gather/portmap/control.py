"""Drives the machine for PCP and NAT-PMP over a socket to the router."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable

from p2p.address import TransportAddress
from p2p.aio.driver import MachineDriver
from p2p.defaults import PORTMAP_UNMAP_S
from p2p.gather.interfaces import Gateway
from p2p.gather.portmap.gateway_socket import GatewaySocket
from p2p.proto.portmap.control import PortControlClient
from p2p.proto.portmap.errors import PortMappingError
from p2p.proto.portmap.events import PortControlEvent, PortControlFailed, PortMapped, PortMappingLost, PortUnmapped
from p2p.proto.portmap.mapping import PortMapping
from p2p.proto.portmap.pcp import PCP_PORT

logger = logging.getLogger(__name__)


class PortControl:
    """One port of ours at one router, for as long as the router gives it.

    Concurrency: one event loop; no task. It holds a socket and a timer until ``close``.

    Args:
        loop: The event loop.
        gateway: The router.
        port: Our UDP port.
        nonce: See ``PortControlClient``.
        on_changed: Told when the router forwards from another outside address than before.
        server_port: Where the router listens.

    Raises:
        PortMappingError: There is no way to the router any more.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        gateway: Gateway,
        port: int,
        *,
        nonce: bytes,
        on_changed: Callable[[PortMapping], object],
        server_port: int = PCP_PORT,
    ) -> None:
        self.error: PortMappingError | None = None
        """Why there is no mapping."""
        self.mapped: asyncio.Future[PortMapping] = loop.create_future()
        """The first mapping; it may come long after ``outcome`` gave up."""
        self.lost: asyncio.Future[None] = loop.create_future()
        """Done when the mapping is gone."""
        self._loop = loop
        self._on_changed = on_changed
        self._settled: asyncio.Future[None] = loop.create_future()
        self._unmapped: asyncio.Future[None] = loop.create_future()
        self._server = TransportAddress(gateway.host, server_port)
        internal = TransportAddress(gateway.source, port)
        self.client = PortControlClient(self._server, internal, nonce=nonce, random_bytes=os.urandom)
        self._socket = GatewaySocket(loop, gateway, server_port, on_datagram=self._received, on_refused=self._refused)
        self._driver: MachineDriver[PortControlEvent] = MachineDriver(
            loop, self.client, send=lambda data, _: self._socket.send(data), on_event=self._happened
        )

    async def outcome(self, suggested: TransportAddress | None = None) -> PortMapping | None:
        """Ask for the port.

        Args:
            suggested: The outside address that we would like.

        Returns:
            The mapping; None when the router refuses, or has been silent for a while: see ``error``.
        """
        self.client.start(self._loop.time(), suggested)
        self._driver.poke()
        await self._settled
        return self.client.mapping

    async def unmap(self) -> None:
        """Give back what was asked for; takes ``PORTMAP_UNMAP_S`` at most."""
        self.client.stop(self._loop.time())
        self._driver.poke()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2 * PORTMAP_UNMAP_S):
                await self._unmapped

    def check(self) -> None:
        """Ask the router whether it still knows us."""
        self.client.check(self._loop.time())
        self._driver.poke()

    def announced(self, data: bytes) -> None:
        """Take what the router tells everybody; when it has forgotten us, it is asked again at once."""
        self.client.receive_announcement(data, self._server.host, self._loop.time())
        self._driver.poke()

    def close(self) -> None:
        """Stop; nothing stays with the loop. What the router has granted ends by itself."""
        self._driver.close()
        self._socket.close()
        for future in (self.mapped, self.lost, self._settled, self._unmapped):
            future.cancel()

    def _received(self, data: bytes) -> None:
        self._driver.receive(data, self._server)

    def _refused(self) -> None:
        self.client.refused(self._loop.time())
        self._driver.poke()

    def _happened(self, event: PortControlEvent) -> None:
        match event:
            case PortMapped(mapping):
                if not self.mapped.done():
                    self.mapped.set_result(mapping)
                else:
                    self._on_changed(mapping)
            case PortControlFailed(error):
                self.error = error
            case PortMappingLost(_, error):
                self.error = error
                if not self.lost.done():
                    self.lost.set_result(None)
            case PortUnmapped() if not self._unmapped.done():
                self._unmapped.set_result(None)
        if not self._settled.done():
            self._settled.set_result(None)
