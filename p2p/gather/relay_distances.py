"""How far the relays are that a rendezvous names."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Sequence
from functools import partial

from p2p.address import TransportAddress
from p2p.aio.driver import MachineDriver
from p2p.aio.tasks import TaskScope
from p2p.defaults import RELAY_DISTANCE_REQUESTS, RELAY_DISTANCE_RTO_S
from p2p.errors import RelayError
from p2p.gather.relay_server import RelayServer, resolve
from p2p.path.endpoint import Endpoint
from p2p.proto.ice.candidate import RelayProtocol
from p2p.proto.stun.client import BindingClient, BindingEvent, BindingSucceeded
from p2p.proto.turn.nearest import nearest_first

logger = logging.getLogger(__name__)


class RelayDistances:
    """Asks each relay host once over UDP, all at the same time, and remembers how long the answers took.

    Nothing is asked while there is one host only: then there is nothing to choose.

    Concurrency: one event loop; looking names up is one task in the scope.

    Args:
        endpoint: Its sockets ask.
        scope: Where names are looked up.

    Attributes:
        round_trips_s: How far those hosts are that have answered, in seconds, by the host in their URL.
    """

    def __init__(self, endpoint: Endpoint, scope: TaskScope) -> None:
        self.round_trips_s: dict[str, float] = {}
        self._endpoint = endpoint
        self._scope = scope
        self._servers: dict[str, RelayServer] = {}
        self._drivers: dict[tuple[int, TransportAddress], MachineDriver[BindingEvent]] = {}
        self._asking: asyncio.Task[None] | None = None
        self._answered = asyncio.Event()

    def update(self, servers: Sequence[RelayServer]) -> None:
        """Measure these relays; nothing happens when their hosts are the same as before."""
        asked: dict[str, RelayServer] = {}
        for server in servers:
            if server.protocol is RelayProtocol.UDP:
                asked.setdefault(server.host, server)
        before, self._servers = self._servers, asked
        if list(before) != list(asked):
            self.measure()

    def measure(self) -> None:
        """Forget what is known and ask all of them: we may be elsewhere now."""
        self.close()
        self.round_trips_s.clear()
        self._answered.clear()
        if len(self._servers) > 1:
            self._asking = self._scope.start(self._ask_all(), name="distances of relays")

    async def first_answer(self, timeout_s: float) -> None:
        """Wait until one relay has answered, where there are several, and so long at most.

        Args:
            timeout_s: In seconds.
        """
        if len(self._servers) < 2:
            return
        try:
            async with asyncio.timeout(timeout_s):
                await self._answered.wait()
        except TimeoutError:
            logger.debug("no relay has told how far it is in %.3f s", timeout_s)

    def order(self, servers: Sequence[RelayServer]) -> list[RelayServer]:
        """Put relays of near hosts first, as far as that is known; those of one host stay in their order."""
        hosts = list(dict.fromkeys(server.host for server in servers))
        place = {host: index for index, host in enumerate(nearest_first(hosts, self.round_trips_s))}
        return sorted(servers, key=lambda server: place[server.host])

    def stun_received(self, data: bytes, base_id: int, source: TransportAddress, now: float) -> bool:
        """Take the answer of a relay.

        Returns:
            Whether it was one.
        """
        driver = self._drivers.get((base_id, source))
        return driver is not None and driver.receive(data, source, now)

    def close(self) -> None:
        """Stop asking."""
        if self._asking is not None:
            self._asking.cancel()
            self._asking = None
        for driver in self._drivers.values():
            driver.close()
        self._drivers.clear()

    async def _ask_all(self) -> None:
        async with asyncio.TaskGroup() as group:
            for server in self._servers.values():
                group.create_task(self._ask(server))

    async def _ask(self, server: RelayServer) -> None:
        try:
            addresses = await resolve(server.host, server.port)
        except RelayError as error:
            logger.info("%s", error)
            return
        for address in addresses:
            if not server.accepts(address):
                continue
            for base in self._endpoint.sockets:
                if base.local_address.is_ipv6 is address.is_ipv6 and (base.base_id, address) not in self._drivers:
                    self._ask_from(base.base_id, server.host, address)
                    break

    def _ask_from(self, base_id: int, host: str, address: TransportAddress) -> None:
        loop = asyncio.get_running_loop()
        client = BindingClient(address, os.urandom, rto_s=RELAY_DISTANCE_RTO_S, max_requests=RELAY_DISTANCE_REQUESTS)
        base = self._endpoint.bases[base_id]
        driver: MachineDriver[BindingEvent] = MachineDriver(
            loop,
            client,
            send=lambda data, destination: base.send((data,), destination),
            on_event=partial(self._told, host, loop.time()),
        )
        self._drivers[base_id, address] = driver
        client.start(loop.time())
        driver.poke()

    def _told(self, host: str, asked_at: float, event: BindingEvent) -> None:
        if not isinstance(event, BindingSucceeded):
            logger.info("%s", event.error)
            return
        took_s = event.round_trip_s
        if took_s is None:
            # One of the two requests was lost, or it is that far away: not nearer than this, by all we know.
            took_s = asyncio.get_running_loop().time() - asked_at
        self.round_trips_s[host] = min(took_s, self.round_trips_s.get(host, took_s))
        logger.info("relay %s is %.1f ms away", host, took_s * 1000)
        self._answered.set()
