"""A relay: puts the core, its sockets and its listeners together."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import time
from collections.abc import Callable
from secrets import token_bytes
from types import TracebackType
from typing import NamedTuple, Self

from prometheus_client import CollectorRegistry

from p2p.address import TransportAddress
from p2p.aio.tasks import TaskScope
from p2p.aio.udp import UdpSocket
from p2p.errors import LocalProtocolError
from relay.certificate import load_certificate, tls_context
from relay.config import PeerMode, RelayConfig
from relay.core.allocation import Allocation, Neighbourhood, RelayedSocket
from relay.core.authentication import Authenticator
from relay.core.counters import RelayCounters
from relay.core.credentials import CredentialStore
from relay.core.five_tuple import ClientTransport
from relay.core.guesses import GuessLimit
from relay.core.known_hosts import KnownHosts
from relay.core.nonces import (
    FEATURE_PASSWORD_ALGORITHMS,
    FEATURE_USERNAME_ANONYMITY,
    SALT_BYTES,
    NonceSource,
    nonce_key,
)
from relay.core.policy import PeerPolicy
from relay.core.rates import Rates
from relay.core.relayed_ports import RelayedPorts, RelayHost
from relay.core.server import TurnServer
from relay.core.strangers import StrangerLimit
from relay.core.table import EndReason
from relay.log import RelayLog
from relay.metrics import RelayCollector
from relay.shell.binding import BindingService
from relay.shell.connections import ConnectionLimiter
from relay.shell.control import Control
from relay.shell.datagrams import DatagramListener
from relay.shell.own_addresses import OwnAddresses
from relay.shell.relayed import RelayedUdpSocket
from relay.shell.stream_listener import StreamListener
from relay.shell.streams import StreamClient

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
    ) -> None:
        self.config = config
        self.counters = RelayCounters()
        self._binding_service = binding_service
        self._registry = registry
        self._wall_clock = wall_clock
        self._log = _WatchedLog()
        self._credentials = CredentialStore(
            config.realm,
            static_users=config.users,
            shared_secrets=config.shared_secrets,
            password_of=config.password_of,
        )
        # Without a shared secret nonces need not outlive the process: clients get 438 and go on.
        key = nonce_key(config.shared_secrets[0]) if config.shared_secrets else token_bytes(32)
        hidden_names = FEATURE_USERNAME_ANONYMITY if self._credentials.knows_all_names else 0
        self._nonces = NonceSource(key, features=FEATURE_PASSWORD_ALGORITHMS | hidden_names)
        self._strangers = StrangerLimit()
        self._known = KnownHosts()
        self._limiter = ConnectionLimiter(config.connections)
        self._policy = _policy(config, self._knows)
        self._tls = tls_context(config) if config.tls else None
        self._stack = contextlib.AsyncExitStack()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._control: Control | None = None
        self._datagrams: dict[TransportAddress, DatagramListener] = {}
        self._streams: list[StreamListener] = []

    # --- life ----------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Open all listeners.

        Raises:
            ConnectivityError: An address cannot be bound.
        """
        self._loop = asyncio.get_running_loop()
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
        """Refuse new allocations (508), and wait until those that exist have ended.

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

    def reload_tls(self) -> None:
        """Read the certificate and the key again; connections that exist keep the old ones.

        Raises:
            ConfigError: They cannot be used; the old ones stay in use.
        """
        if self._tls is not None:
            tls_context(self.config)  # the one in use must not be left with half of a broken pair
            load_certificate(self._tls, self.config)

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

    @property
    def allocations(self) -> int:
        """How many allocations there are."""
        return len(self._running().server.table)

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
        return Challenge(self.config.realm, self._nonces.issue_in_advance(token_bytes(SALT_BYTES), self._wall_clock()))

    # --- wiring --------------------------------------------------------------------------------------------

    async def _open(self, stack: contextlib.AsyncExitStack) -> None:
        assert self._loop is not None
        scope = await stack.enter_async_context(TaskScope())
        stack.callback(self._limiter.close)
        self._control = Control(self._loop, self._make_server(), wall_clock=self._wall_clock)
        stack.callback(self._control.close)
        self._open_datagrams(stack)
        self._open_streams(stack, scope)
        if self._registry is not None:
            collector = RelayCollector(
                self.counters,
                self._control.server.table,
                connections=lambda: len(self._limiter),
                kernel_drops=lambda: {str(at): port.kernel_drops for at, port in self._datagrams.items()},
            )
            collector.register(self._registry)
            stack.callback(self._registry.unregister, collector)

    def _make_server(self) -> TurnServer:
        config = self.config
        hosts = config.relay_hosts()
        public_hosts = frozenset(host.public_host for host in hosts)
        is_loopback_lab = config.danger_allow_loopback_peers and all(_is_loopback(host) for host in public_hosts)
        return TurnServer(
            authenticator=Authenticator(
                realm=config.realm, credentials=self._credentials, nonces=self._nonces, counters=self.counters
            ),
            ports=RelayedPorts(hosts, open_socket=self._open_relayed, random_bytes=token_bytes),
            neighbourhood=Neighbourhood(public_hosts, may_leave_process=is_loopback_lab),
            policy=self._policy,
            quota_limits=config.quotas,
            rates=Rates(config.rates, clock=self._now),
            strangers=self._strangers,
            guesses=GuessLimit(),
            known=self._known,
            counters=self.counters,
            observer=self._log,
            random_bytes=token_bytes,
        )

    def _open_datagrams(self, stack: contextlib.AsyncExitStack) -> None:
        assert self._loop is not None
        for host in self.config.relay_hosts():
            # An address that is not this machine's must be an error now, and not for the first client.
            UdpSocket(self._loop, TransportAddress(host.bind_host, 0), on_batch=_ignore, on_drained=_ignore).close()
        for address in self.config.udp:
            listener = DatagramListener(
                self._loop,
                address,
                control=self._running(),
                strangers=self._strangers,
                binding_service=self._binding_service,
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
            )
            stack.callback(self._streams.remove, listener)
            stack.callback(listener.close)
            self._streams.append(listener)

    def _make_stream(self, kind: ClientTransport | None) -> StreamClient:
        control = self._running()
        assert self._loop is not None
        return StreamClient(self._loop, control, self._limiter, transport_kind=kind)

    def _open_relayed(self, host: RelayHost, port: int) -> RelayedSocket:
        assert self._loop is not None
        return RelayedUdpSocket(self._loop, host, port, self.counters)

    def _now(self) -> float:
        assert self._loop is not None
        return self._loop.time()

    def _knows(self, host: str) -> bool:
        return self._known.knows(host, self._now())

    def _running(self) -> Control:
        if self._control is None:
            raise LocalProtocolError("the relay was used outside of its block")
        return self._control


class _WatchedLog(RelayLog):
    """The log, and an event for whoever waits for allocations to end."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()

    def allocation_ended(self, allocation: Allocation, reason: EndReason) -> None:
        super().allocation_ended(allocation, reason)
        self.ended.set()


def _policy(config: RelayConfig, knows: Callable[[str], bool]) -> PeerPolicy:
    listening = {address.host for address in (*config.udp, *config.tcp, *config.tls)}
    relaying = {text for host in config.relay_hosts() for text in (host.bind_host, host.public_host)}
    return PeerPolicy(
        allow=config.allow_peers,
        deny=config.deny_peers,
        is_own=OwnAddresses(listening | relaying),
        danger_allow_private_peers=config.danger_allow_private_peers,
        danger_allow_loopback_peers=config.danger_allow_loopback_peers,
        knows=knows if config.peer_mode is PeerMode.KNOWN else None,
    )


def _is_loopback(host: str) -> bool:
    return TransportAddress(host, 0).ip.is_loopback


def _ignore(*_: object) -> None:
    """Take no notice."""
