"""Holding one address on a relay for as long as the program runs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Callable, Sequence
from dataclasses import replace

from p2p.defaults import RELAY_SILENT_S
from p2p.errors import RelayError
from p2p.gather.relay import allocate_first
from p2p.gather.relay_distances import RelayDistances
from p2p.gather.relay_server import RelayServer
from p2p.path.carriers import CODE_STREAM_ENDED
from p2p.path.endpoint import Endpoint
from p2p.path.relay_base import RelayBase
from p2p.proto.turn.events import CODE_NO_ANSWER

logger = logging.getLogger(__name__)


class RelayKeeper:
    """Holds one address on a relay for as long as it runs: allocates, probes, and allocates again when it is lost.

    Concurrency: ``run`` is the one task; the callbacks are called from the event loop.

    Args:
        endpoint: Gets the base.
        distances: How far the relays are; asked anew where the network has changed.
        on_gained: Called with each new base.
        on_lost: Called with a base that is no more, before its replacement is looked for.
        on_problem: Called when no relay gives an address; the keeper goes on trying.
        on_silent: Called when the relay has been silent for long, and no other one is known that gives an address.
        ssl_context: Trust for TLS.

    Attributes:
        current: The address that it holds, or None.
        udp_is_blocked: Whether UDP seems not to pass, so that it is tried last.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        distances: RelayDistances,
        *,
        on_gained: Callable[[RelayBase], None],
        on_lost: Callable[[RelayBase, RelayError], None],
        on_problem: Callable[[RelayError], None],
        on_silent: Callable[[], None],
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self.current: RelayBase | None = None
        self.udp_is_blocked = False
        self._endpoint = endpoint
        self._distances = distances
        self._on_gained = on_gained
        self._on_lost = on_lost
        self._on_problem = on_problem
        self._ssl_context = ssl_context
        self._servers: tuple[RelayServer, ...] = ()
        self._on_silent = on_silent
        self._ended: RelayBase | None = None
        self._wake = asyncio.Event()

    def update(self, servers: Sequence[RelayServer]) -> None:
        """Use these relays and credentials from the next allocation on; see whether the present address lives.

        They come with each login, and a server that restarted has often taken the relay with it.
        """
        self._servers = tuple(servers)
        self._distances.update(servers)
        self._wake.set()
        if self.current is not None:
            self.current.probe()

    def retry_now(self) -> None:
        """Do not wait any longer before the next attempt: the network has changed."""
        self._wake.set()

    def network_changed(self, *, is_elsewhere: bool) -> None:
        """Find out at once whether the address is still ours, and get another one if not.

        Args:
            is_elsewhere: Whether packets take another way now, on which no connection of before goes on.
        """
        self._distances.measure()
        relay = self.current
        if relay is None:
            self.retry_now()
        elif is_elsewhere and relay.socket_base_id is None:
            relay.carrier_lost(RelayError("the network has changed", code=CODE_STREAM_ENDED))
        else:
            relay.probe()

    async def run(self, *, backoff: Callable[[int], float], probe_s: Callable[[], float]) -> None:
        """Keep an address until cancelled, then give it back.

        Args:
            backoff: Seconds to wait after the n-th failure in a row, n from 1.
            probe_s: Tells how often to ask the relay whether the address is still ours; it keeps NAT mappings open too.
        """
        failures = 0
        relay: RelayBase | None = None
        try:
            while True:
                self._wake.clear()
                if not self._servers:
                    await self._wake.wait()
                    continue
                try:
                    relay = relay or await self._allocate(self._servers)
                except RelayError as error:
                    failures += 1
                    self._on_problem(error)
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(backoff(failures)):
                            await self._wake.wait()
                    continue
                failures = 0
                relay = await self._hold(relay, probe_s)
        finally:
            relay_at_end, self.current = self.current, None
            if relay_at_end is not None:
                await asyncio.shield(relay_at_end.release())

    async def _allocate(self, servers: Sequence[RelayServer]) -> RelayBase:
        return await allocate_first(
            self._endpoint,
            servers,
            udp_is_blocked=self.udp_is_blocked,
            ssl_context=self._ssl_context,
            distances=self._distances,
            ended=next((server for server in servers if self._ended is not None and _is_of(self._ended, server)), None),
        )

    async def _hold(self, relay: RelayBase, probe_s: Callable[[], float]) -> RelayBase | None:
        """Keep an address until it is lost, or until the relay has been silent for long and another one gives us one.

        Returns:
            The one of the other relay.
        """
        other: RelayBase | None = None
        lost: asyncio.Future[RelayError] = asyncio.get_running_loop().create_future()

        def on_lost(error: RelayError) -> None:
            if not lost.done():
                lost.set_result(error)

        relay.on_lost = on_lost
        self.current = relay
        self._on_gained(relay)
        while not (await asyncio.wait((lost,), timeout=RELAY_SILENT_S if relay.silent_s else probe_s()))[0]:
            if relay.silent_s >= RELAY_SILENT_S and (other := await self._allocate_elsewhere(relay)) is not None:
                on_lost(RelayError(f"the relay {relay.server} does not answer", code=CODE_NO_ANSWER))
                break
            relay.probe()
        self.current = None
        # A relay that has restarted takes the nonce of before, which saves each of its clients a round trip.
        if relay.challenge is not None:
            self._servers = tuple(_with_challenge(server, relay, *relay.challenge) for server in self._servers)
        self._ended = relay if lost.result().error_code is CODE_STREAM_ENDED else None
        self._on_lost(relay, lost.result())
        self._endpoint.remove(relay.base_id)
        return other

    async def _allocate_elsewhere(self, silent: RelayBase) -> RelayBase | None:
        if others := [server for server in self._servers if server.host != silent.host]:
            try:
                return await self._allocate(others)
            except RelayError as error:
                logger.info("no other relay in the place of %s: %s", silent.server, error)
        self._on_silent()
        return None


def _is_of(relay: RelayBase, server: RelayServer) -> bool:
    return (server.host, server.port, server.protocol) == (relay.host, relay.server.port, relay.protocol)


def _with_challenge(server: RelayServer, relay: RelayBase, realm: str, nonce: str) -> RelayServer:
    return replace(server, realm=realm, nonce=nonce) if _is_of(relay, server) else server
