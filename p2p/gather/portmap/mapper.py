"""Keeps a UDP port of ours forwarded by the router, whichever protocol it speaks, for as long as the program runs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Callable, Iterator, Sequence

from p2p.address import TransportAddress
from p2p.defaults import (
    PORTMAP_LIFETIME_S,
    PORTMAP_PERMANENT_CHECK_S,
    PORTMAP_RENEW_MIN_S,
    PORTMAP_RETRY_MAX_S,
    PORTMAP_RETRY_MIN_S,
    PORTMAP_UNMAP_S,
)
from p2p.gather.interfaces import Gateway, default_gateways
from p2p.gather.portmap.announcements import ANNOUNCEMENT_PORT, AnnouncementSocket
from p2p.gather.portmap.control import PortControl
from p2p.gather.portmap.http import BoundedHttp
from p2p.gather.portmap.search import find_description
from p2p.gather.portmap.upnp import UpnpRouter
from p2p.proto.portmap.announcement import is_announcement
from p2p.proto.portmap.errors import PortMappingError
from p2p.proto.portmap.mapping import PortMapping
from p2p.proto.portmap.pcp import NONCE_BYTES, PCP_PORT
from p2p.proto.portmap.ssdp import SSDP_GROUP

logger = logging.getLogger(__name__)

_RENEW_AT = 0.5
"""Which share of a lifetime goes by until it is renewed."""
_TRIES_PER_LIFETIME = 8


class PortMapper:
    """Asks in PCP and NAT-PMP, then in UPnP; asks again after a loss, and at once in another network.

    It listens for what the router announces to all of its LAN: one that has restarted is asked again at once. For IPv6,
    where the router translates nothing and only lets packets in (a pinhole), PCP is all that is spoken.

    Concurrency: one event loop; ``run`` is the one task, and the callbacks are called from it and from the loop.

    Args:
        port: Tells the port of ours that is to be reached; None while there is none.
        on_mapped: Told where the router forwards from by its word, and each time this changes.
        on_lost: Told that it forwards no longer, as far as we know.
        on_announced: Told that the router announces something, each ``PORTMAP_RENEW_MIN_S`` at most.
        is_ipv6: Which address family it is for.
        gateways: Lists the routers of the default routes.
        control_port: Where they listen for PCP and NAT-PMP.
        ssdp_group: Where UPnP routers are searched.
        announcement_port: Where announcements are heard.
    """

    def __init__(
        self,
        port: Callable[[], int | None],
        *,
        on_mapped: Callable[[PortMapping], None],
        on_lost: Callable[[], None],
        on_announced: Callable[[], None] = lambda: None,
        is_ipv6: bool = False,
        gateways: Callable[[], Sequence[Gateway]] = default_gateways,
        control_port: int = PCP_PORT,
        ssdp_group: TransportAddress = SSDP_GROUP,
        announcement_port: int = ANNOUNCEMENT_PORT,
    ) -> None:
        self._port = port
        self._on_mapped = on_mapped
        self._on_lost = on_lost
        self._on_announced = on_announced
        self._gateways = gateways
        self._control_port = control_port
        self._ssdp_group = ssdp_group
        self._announcement_port = announcement_port
        self._is_ipv6 = is_ipv6
        # One for all times: who has it gets the same mapping again, after a network change that was none.
        self._nonce = os.urandom(NONCE_BYTES)
        self._current: PortMapping | None = None
        self._suggested: TransportAddress | None = None
        self._control: PortControl | None = None
        self._here: asyncio.Timeout | None = None
        self._has_left = False
        self._roused = asyncio.Event()
        self._roused_at = float("-inf")

    def network_changed(self) -> None:
        """Ask anew: there is perhaps another router, and what the one before forwards no longer leads here."""
        self._has_left = True
        if self._here is not None and not self._here.expired():
            self._here.reschedule(asyncio.get_running_loop().time())

    def check(self) -> None:
        """Find out whether the router still knows us: something makes us doubt it."""
        if self._control is not None:
            self._control.check()

    async def run(self) -> None:
        """Keep the port forwarded until cancelled, then give it back, which takes ``2 * PORTMAP_UNMAP_S`` at most."""
        while True:
            here = asyncio.timeout(None)
            self._has_left = False
            try:
                async with here:
                    self._here = here
                    await self._keep()
            except TimeoutError:
                logger.debug("another network: asking its router for a port")
            self._tell(None)

    async def _keep(self) -> None:
        wait_s = PORTMAP_RETRY_MIN_S
        while True:
            gateway = next((gateway for gateway in self._gateways() if gateway.is_ipv6 is self._is_ipv6), None)
            port = self._port()
            if gateway is None or port is None:
                await asyncio.sleep(wait_s)
            else:
                with self._listening(gateway):
                    await self._hold(gateway, port)
                    if self._current is not None:
                        self._tell(None)
                        wait_s = PORTMAP_RETRY_MIN_S
                    if await self._pause(wait_s):
                        wait_s = PORTMAP_RETRY_MIN_S / 2
            wait_s = min(2 * wait_s, PORTMAP_RETRY_MAX_S)

    async def _hold(self, gateway: Gateway, port: int) -> None:
        """Keep a mapping until it is lost, in whichever protocol the router speaks."""
        try:
            await self._hold_by_control(gateway, port)
            if self._current is None and not self._is_ipv6:
                await self._hold_by_upnp(gateway, port)
        except PortMappingError as error:
            logger.info("no port forwarded: %s", error.detail)

    @contextlib.contextmanager
    def _listening(self, gateway: Gateway) -> Iterator[None]:
        announcements = AnnouncementSocket(
            asyncio.get_running_loop(), gateway, on_announcement=self._announced, port=self._announcement_port
        )
        try:
            yield
        finally:
            announcements.close()

    def _announced(self, data: bytes) -> None:
        """The router tells everybody something: perhaps it has just started."""
        if not is_announcement(data):
            return
        if self._control is not None:
            self._control.announced(data)
        now = asyncio.get_running_loop().time()
        if now < self._roused_at + PORTMAP_RENEW_MIN_S:
            return
        self._roused_at = now
        if self._control is None:
            self._roused.set()
        self._on_announced()

    async def _pause(self, wait_s: float) -> bool:
        """Wait so long, or until the router has announced something.

        Returns:
            Whether it has.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._roused.wait()
        is_roused = self._roused.is_set()
        self._roused.clear()
        return is_roused

    async def _hold_by_control(self, gateway: Gateway, port: int) -> None:
        """Keep a mapping until it is lost; comes back at once, without one, from a router that speaks neither."""
        loop = asyncio.get_running_loop()
        control = PortControl(
            loop, gateway, port, nonce=self._nonce, on_changed=self._tell, server_port=self._control_port
        )
        try:
            mapping = await control.outcome(self._suggested)
            if mapping is None:
                logger.debug("no port by PCP or NAT-PMP: %s", control.error)
                return
            self._control = control
            self._tell(mapping)
            await control.lost
            logger.info("port mapping lost: %s", control.error)
        except asyncio.CancelledError:
            # In another network nobody would hear it.
            if not self._has_left:
                await control.unmap()
            raise
        finally:
            self._control = None
            control.close()

    async def _hold_by_upnp(self, gateway: Gateway, port: int) -> None:
        location = await find_description(gateway, group=self._ssdp_group)
        async with BoundedHttp(gateway) as http:
            router = await UpnpRouter.describe(gateway, http, location)
            wanted = port if self._suggested is None else self._suggested.port
            mapping = await router.map(port, wanted_port=wanted)
            async with _given_back(router, mapping):
                while True:
                    self._tell(mapping)
                    await self._pause(_renewal_wait_s(mapping))
                    mapping = await self._renew(router, mapping)

    async def _renew(self, router: UpnpRouter, mapping: PortMapping) -> PortMapping:
        """Have a mapping written again, with patience while it lives."""
        loop = asyncio.get_running_loop()
        rest_s = 0.0 if mapping.lifetime_s is None else mapping.lifetime_s * (1 - _RENEW_AT)
        ends_at = loop.time() + rest_s
        while True:
            try:
                return await router.map(mapping.internal.port, wanted_port=mapping.external.port)
            except PortMappingError:
                wait_s = max(PORTMAP_RENEW_MIN_S, 2 * rest_s / _TRIES_PER_LIFETIME)
                if loop.time() + wait_s >= ends_at:
                    raise
            await asyncio.sleep(wait_s)

    def _tell(self, mapping: PortMapping | None) -> None:
        if mapping == self._current:
            return
        self._current = mapping
        if mapping is None:
            self._on_lost()
        else:
            self._suggested = mapping.external
            logger.info("the router forwards %s to us (%s)", mapping.external, mapping.protocol.value)
            self._on_mapped(mapping)


def _renewal_wait_s(mapping: PortMapping) -> float:
    if mapping.lifetime_s is None:
        return PORTMAP_PERMANENT_CHECK_S
    return max(PORTMAP_RENEW_MIN_S, min(mapping.lifetime_s, PORTMAP_LIFETIME_S) * _RENEW_AT)


@contextlib.asynccontextmanager
async def _given_back(router: UpnpRouter, mapping: PortMapping) -> AsyncIterator[None]:
    """Have a UPnP mapping removed at the end, with little patience: what has an end goes by itself."""
    try:
        yield
    finally:
        try:
            async with asyncio.timeout(2 * PORTMAP_UNMAP_S):
                await router.unmap(mapping)
        except (TimeoutError, PortMappingError) as error:
            logger.debug("port mapping not given back: %s", error)
