"""A relay: puts the core, its sockets and its listeners together."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from secrets import token_bytes
from types import TracebackType
from typing import Any, NamedTuple, Self

from prometheus_client import CollectorRegistry

from p2p.address import TransportAddress
from p2p.aio.tasks import TaskScope
from p2p.aio.udp_options import bind
from p2p.errors import LocalProtocolError
from p2p.proto.observed import is_within
from relay.certificate import load_certificate, tls_context
from relay.config import FIXED_SETTINGS, PeerMode, RelayConfig
from relay.core.allocation import RelayedSocket
from relay.core.counters import RelayCounters
from relay.core.five_tuple import ClientTransport
from relay.core.guesses import GuessLimit
from relay.core.known_hosts import KnownHosts
from relay.core.nonces import SALT_BYTES
from relay.core.relayed_ports import RelayedPorts, RelayHost
from relay.core.server import TurnServer
from relay.core.strangers import StrangerLimit
from relay.log import WatchedLog
from relay.metrics import RelayCollector
from relay.shell.binding import BindingService
from relay.shell.connections import ConnectionLimiter
from relay.shell.control import Control
from relay.shell.datagrams import DatagramListener
from relay.shell.mail import Mailroom
from relay.shell.plane import DataPlane
from relay.shell.relayed import RelayedUdpSocket
from relay.shell.relayed_tcp import RelayedTcpSocket
from relay.shell.share import Share
from relay.shell.stream_listener import StreamListener
from relay.shell.streams import StreamClient
from relay.wiring import home_key_of, neighbourhood_of, rules_of

__all__ = ["BindingService", "Challenge", "PeerMode", "RelayConfig", "RelayService"]

logger = logging.getLogger(__name__)


class Challenge(NamedTuple):
    """What a client needs, besides its credentials, to be served without being challenged first.

    Attributes:
        realm: The relay's realm.
        nonce: A fresh nonce, good for an hour.
    """

    realm: str
    nonce: str


class RelayService:
    """A TURN server that runs as long as its ``async with`` block.

    Concurrency: one event loop; no task but one for each TLS handshake, inside the block.

    Args:
        config: What to do.
        binding_service: Answers STUN Binding requests on the UDP ports; without one the relay answers them plainly.
        registry: Where metrics go, if anywhere.
        wall_clock: Unix time in seconds.
        share: What this process has in common with others that serve the same addresses; None serves alone.

    Raises:
        ConfigError: The certificate cannot be used, or the allow list names what cannot be allowed.
    """

    def __init__(
        self,
        config: RelayConfig,
        *,
        binding_service: BindingService | None = None,
        registry: CollectorRegistry | None = None,
        wall_clock: Callable[[], float] = time.time,
        share: Share | None = None,
    ) -> None:
        self.config = config
        self.counters = RelayCounters()
        self._binding_service = binding_service
        self._registry = registry
        self._wall_clock = wall_clock
        self._share = share
        self._log = WatchedLog()
        self._strangers = StrangerLimit()
        self._known = KnownHosts()
        self._limiter = ConnectionLimiter(config.connections)
        self._rules = rules_of(config, self._knows)
        self._tls = tls_context(config) if config.tls else None
        self._stack = contextlib.AsyncExitStack()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._control: Control | None = None
        self._scope: TaskScope | None = None
        self._started_at = 0.0
        self._plane: DataPlane | None = None
        self._datagrams: dict[TransportAddress, DatagramListener] = {}
        self._streams: list[StreamListener] = []

    # --- life ----------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Open all listeners.

        Raises:
            ConnectivityError: An address cannot be bound.
        """
        self._loop = asyncio.get_running_loop()
        self._started_at = self._loop.time()
        try:
            await self._open(self._stack)
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # The tasks here are servants: what went wrong in the block leaves it as it is, not inside of a group.
        await self._stack.aclose()

    async def drain(self, deadline_s: float) -> None:
        """Refuse new allocations (300 with another server, or 508), and wait until those that exist have ended.

        Args:
            deadline_s: How long to wait at most.
        """
        server = self._running().server
        server.stop_allocating()
        logger.info("draining: %d allocations, at most %g s", len(server.table), deadline_s)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(deadline_s):
                while len(server.table):
                    self._log.ended.clear()
                    await self._log.ended.wait()

    def reload(self, config: RelayConfig) -> tuple[str, ...]:
        """Take users, secrets, peers, limits, alternate servers and the certificate from a new configuration.

        Allocations of users who are gone end, and so do permissions for peers that are no longer allowed. Connections
        that exist keep the old certificate.

        Args:
            config: The new configuration.

        Returns:
            The names of settings that have changed and need a restart.

        Raises:
            ConfigError: It cannot be used; nothing has changed then.
        """
        kept = {name: getattr(self.config, name) for name in FIXED_SETTINGS}
        changed = tuple(name for name, value in kept.items() if getattr(config, name) != value)
        config = replace(config, **kept)
        rules = rules_of(config, self._knows)
        if self._tls is not None:
            tls_context(config)  # the one in use must not be left with half of a broken pair
            load_certificate(self._tls, config)
        self._rules = rules
        self._running().server.apply(rules, self._now())
        self._limiter.set_limits(config.connections)
        self.config = config
        return changed

    # --- for others in the same process --------------------------------------------------------------------

    @property
    def udp_addresses(self) -> tuple[TransportAddress, ...]:
        """Where clients are served over UDP, with the ports that were really bound."""
        return tuple(self._datagrams)

    @property
    def tcp_addresses(self) -> tuple[TransportAddress, ...]:
        """Where clients are served over TCP."""
        return tuple(listener.address for listener in self._streams if not listener.has_tls)

    @property
    def tls_addresses(self) -> tuple[TransportAddress, ...]:
        """Where clients are served over TLS."""
        return tuple(listener.address for listener in self._streams if listener.has_tls)

    def status(self) -> dict[str, Any]:
        """Tell how the relay does, as JSON values; no addresses of clients, and no credentials."""
        server, counters = self._running().server, self.counters
        return {
            "state": "draining" if server.is_draining else "serving",
            "up_s": round(self._now() - self._started_at, 1),
            "listeners": {
                "udp": [str(address) for address in self.udp_addresses],
                "tcp": [str(address) for address in self.tcp_addresses],
                "tls": [str(address) for address in self.tls_addresses],
            },
            "allocations": {kind.value: server.table.count(kind) for kind in ClientTransport},
            "allocations_made": counters.allocations_created,
            "connections": len(self._limiter),
            "ports": {host: {"used": used, "of": size} for host, (used, size) in self._ports.usage().items()},
            "packets": {"to_peers": counters.packets_to_peers, "to_clients": counters.packets_to_clients},
            "bytes": {"to_peers": counters.bytes_to_peers, "to_clients": counters.bytes_to_clients},
            "drops": {drop.value: count for drop, count in counters.drops.items()},
            "authentication_failures": dict(counters.authentication_failures),
            "requests": {f"{method} {result}": count for (method, result), count in counters.requests.items()},
            "users": [
                {"user": user, "bytes": size}
                for user, size in self._log.totals.top(server.table, self.config.metrics_users)
            ],
        }

    @property
    def allocations(self) -> int:
        """How many allocations there are."""
        return len(self._running().server.table)

    @property
    def is_draining(self) -> bool:
        """Whether new allocations are refused."""
        return self._running().server.is_draining

    def addresses_in_use(self) -> tuple[int, int]:
        """How many relayed addresses are in use, reserved ones included, and how many there may be."""
        usage = self._ports.usage().values()
        return sum(used for used, _ in usage), min(self.config.quotas.total, sum(size for _, size in usage))

    def send_from(self, local: TransportAddress, data: bytes, destination: TransportAddress) -> None:
        """Send a datagram from one of the relay's UDP ports, for the binding service.

        Args:
            local: One of ``udp_addresses``.
            data: The datagram; dropped when the limit for strangers does not allow it.
            destination: Where it goes.

        Raises:
            LocalProtocolError: The relay has no such port.
        """
        listener = self._datagrams.get(local)
        if listener is None:
            raise LocalProtocolError(f"the relay has no UDP port {local}")
        listener.send(data, destination)

    def note_host(self, host: str, *, is_proven: bool) -> None:
        """Remember that somebody at a host uses this server; the binding service's clients are such.

        Args:
            host: An IP address.
            is_proven: Whether somebody is really there: a datagram alone can have come from elsewhere.
        """
        self._known.note(host, self._now(), is_proven=is_proven)

    def stream_protocol(self) -> asyncio.Protocol:
        """Make a protocol object for a connection that someone else accepted, with TLS already taken off.

        ``connection_made`` comes first, then ``data_received`` with what was read already.
        """
        return self._make_stream(None)

    def challenge(self) -> Challenge:
        """Make what a client needs to allocate without being challenged first, to hand out with its credentials."""
        return Challenge(
            self.config.realm, self._rules.nonces.issue_in_advance(token_bytes(SALT_BYTES), self._wall_clock())
        )

    # --- wiring --------------------------------------------------------------------------------------------

    async def _open(self, stack: contextlib.AsyncExitStack) -> None:
        assert self._loop is not None
        scope = self._scope = await stack.enter_async_context(TaskScope())
        stack.callback(self._limiter.close)
        self._plane = DataPlane(self._loop, self.counters)
        stack.callback(self._plane.close)
        self._neighbourhood = neighbourhood_of(self.config)
        if self._share is not None:
            stack.callback(Mailroom(self._plane, self._neighbourhood, self._share).close)
        self._control = Control(self._loop, self._make_server(), wall_clock=self._wall_clock)
        stack.callback(self._control.close)
        self._open_datagrams(stack)
        self._open_streams(stack, scope)
        if self._registry is not None:
            collector = RelayCollector(
                self.counters,
                self._control.server.table,
                connections=lambda: len(self._limiter),
                is_draining=lambda: self._running().server.is_draining,
                ports=self._ports.usage,
                top_users=lambda: self._log.totals.top(self._running().server.table, self.config.metrics_users),
                kernel_drops=lambda: {str(at): port.kernel_drops for at, port in self._datagrams.items()},
            )
            collector.register(self._registry)
            stack.callback(self._registry.unregister, collector)

    def _make_server(self) -> TurnServer:
        self._ports = RelayedPorts(
            self.config.relay_hosts(),
            open_socket=self._open_relayed,
            random_bytes=token_bytes,
            home_key=home_key_of(self.config),
        )
        return TurnServer(
            realm=self.config.realm,
            rules=self._rules,
            ports=self._ports,
            neighbourhood=self._neighbourhood,
            clock=self._now,
            strangers=self._strangers,
            guesses=GuessLimit(),
            known=self._known,
            counters=self.counters,
            observer=self._log,
            random_bytes=token_bytes,
        )

    def _open_datagrams(self, stack: contextlib.AsyncExitStack) -> None:
        assert self._plane is not None
        for host in self.config.relay_hosts():
            # An address that is not this machine's must be an error now, and not for the first client.
            bind(TransportAddress(host.bind_host, 0)).close()
        for address in self.config.udp:
            listener = DatagramListener(
                self._plane,
                address,
                control=self._running(),
                strangers=self._strangers,
                binding_service=self._binding_service,
                shared=self._share.udp_of(address) if self._share is not None else (),
            )
            stack.callback(self._datagrams.pop, listener.address)
            stack.callback(listener.close)
            self._datagrams[listener.address] = listener

    def _open_streams(self, stack: contextlib.AsyncExitStack, scope: TaskScope) -> None:
        assert self._loop is not None
        wanted = [(address, ClientTransport.TCP) for address in self.config.tcp]
        wanted += [(address, ClientTransport.TLS) for address in self.config.tls]
        for address, kind in wanted:
            listener = StreamListener(
                self._loop,
                address,
                make_client=functools.partial(self._make_stream, kind),
                limiter=self._limiter,
                counters=self.counters,
                scope=scope,
                tls=self._tls if kind is ClientTransport.TLS else None,
                is_front=lambda host: is_within(host, self.config.trusted_proxies),
                shared=self._share.tcp[address] if self._share is not None else None,
            )
            stack.callback(self._streams.remove, listener)
            stack.callback(listener.close)
            self._streams.append(listener)

    def _make_stream(self, kind: ClientTransport | None) -> StreamClient:
        control = self._running()
        assert self._loop is not None
        return StreamClient(self._loop, control, self._limiter, transport_kind=kind)

    def _open_relayed(self, host: RelayHost, port: int, is_tcp: bool) -> RelayedSocket:
        assert self._plane is not None
        if not is_tcp:
            return RelayedUdpSocket(self._plane, host, port)
        assert self._loop is not None
        assert self._scope is not None
        return RelayedTcpSocket(
            self._loop,
            host,
            port,
            hosts=self.config.relay_hosts(),
            observer=self._running(),
            scope=self._scope,
            counters=self.counters,
        )

    def _now(self) -> float:
        assert self._loop is not None
        return self._loop.time()

    def _knows(self, host: str) -> bool:
        return self._known.knows(host, self._now())

    def _running(self) -> Control:
        if self._control is None:
            raise LocalProtocolError("the relay was used outside of its block")
        return self._control
