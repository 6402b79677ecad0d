"""Relayed transport addresses for TCP: peers connect to them, and clients through them to peers."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterable, Sequence
from typing import Protocol

from p2p.address import TransportAddress
from p2p.aio.tasks import TaskScope, deadline
from p2p.aio.udp_options import CODE_BIND
from p2p.defaults import RELAY_ACCEPTS_PER_WAKEUP, RELAY_MAX_PEER_CONNECTIONS, RELAY_PEER_CONNECT_S
from p2p.errors import ConnectivityError, DeadlineExceededError
from p2p.os_errors import reason_of
from relay.core.allocation import Allocation, Payload
from relay.core.counters import Drop, RelayCounters
from relay.core.peer_connections import PeerStream
from relay.core.relayed_ports import RelayHost
from relay.shell.pipe import TcpPeerStream

logger = logging.getLogger(__name__)


class PeerObserver(Protocol):
    """Who is told of connections with peers."""

    def peer_connected(self, number: int, stream: PeerStream) -> None:
        """A connection that was wanted is made."""
        ...

    def peer_failed(self, number: int) -> None:
        """It cannot be made."""
        ...

    def peer_arrived(self, allocation: Allocation, peer: TransportAddress, stream: PeerStream) -> None:
        """A peer has connected."""
        ...


class RelayedTcpSocket:
    """One relayed transport address for TCP: it listens, and connections to peers leave from it.

    Concurrency: one event loop; a task for each connection that is being made, no longer than its deadline.

    Args:
        loop: The event loop.
        host: Where to bind, and what peers see instead.
        port: The port to bind.
        hosts: All hosts of relayed addresses: a peer at one of them is another allocation, behind the same NAT as this.
        observer: Told of connections.
        scope: Where connections are made.
        counters: What is counted.

    Raises:
        ConnectivityError: The port is taken.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        host: RelayHost,
        port: int,
        *,
        hosts: Iterable[RelayHost],
        observer: PeerObserver,
        scope: TaskScope,
        counters: RelayCounters,
    ) -> None:
        self.port = port
        self.relayed_address = TransportAddress(host.public_host, port)
        self._loop = loop
        self._local = TransportAddress(host.bind_host, port)
        self._inside = {other.public_host: other.bind_host for other in hosts}
        self._outside = {other.bind_host: other.public_host for other in hosts}
        self._observer = observer
        self._scope = scope
        self._counters = counters
        self._allocation: Allocation | None = None
        self._connecting: set[asyncio.Task[None]] = set()
        self._socket = _bound(self._local)
        try:
            self._socket.listen(RELAY_MAX_PEER_CONNECTIONS)
        except OSError as error:
            self._socket.close()
            raise ConnectivityError(f"cannot listen on TCP {self._local}: {error}", code=CODE_BIND) from error
        loop.add_reader(self._socket.fileno(), self._accept)

    def attach(self, allocation: Allocation) -> None:
        """Hand connections of peers to an allocation from now on; until then they are closed."""
        self._allocation = allocation

    def send(self, payloads: Sequence[Payload], peer: TransportAddress) -> None:
        """Drop datagrams: this address has none."""
        self._counters.drops[Drop.UNSUPPORTED] += len(payloads)

    def send_whole(self, payload: Payload, peer: TransportAddress) -> int | None:
        """Drop a datagram: this address has none."""
        self._counters.drops[Drop.UNSUPPORTED] += 1
        return None

    def connect(self, peer: TransportAddress, number: int) -> None:
        """Begin to connect to a peer; the observer is told what became of it.

        Args:
            peer: Where to.
            number: Under which the observer is told.
        """
        task = self._scope.start(self._connect(peer, number), name=f"connection to {peer}")
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    def close(self) -> None:
        """Stop listening and connecting, and free the port; connections that are made go on."""
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket.fileno())
        self._socket.close()
        self._allocation = None
        for task in list(self._connecting):
            task.cancel()

    async def _connect(self, peer: TransportAddress, number: int) -> None:
        destination = peer._replace(host=self._inside.get(peer.host, peer.host))
        made: socket.socket | None = None
        try:
            made = _bound(self._local)
            async with deadline(RELAY_PEER_CONNECT_S, f"connecting to {peer}"):
                await self._loop.sock_connect(made, tuple(destination))
        except (OSError, ConnectivityError, DeadlineExceededError) as error:
            logger.debug("connection to %s: %s", peer, error)
            if made is not None:
                made.close()
            self._observer.peer_failed(number)
        except BaseException:
            if made is not None:
                made.close()
            raise
        else:
            self._observer.peer_connected(number, TcpPeerStream(self._loop, made, self._scope))

    def _accept(self) -> None:
        for _ in range(RELAY_ACCEPTS_PER_WAKEUP):
            try:
                accepted, sockaddr = self._socket.accept()
            except OSError:  # nothing more to accept, or no room for it: the peer's connection waits or ends
                return
            accepted.setblocking(False)
            peer = TransportAddress.from_socket(sockaddr)
            peer = peer._replace(host=self._outside.get(peer.host, peer.host))
            if self._allocation is None:
                accepted.close()
            else:
                self._observer.peer_arrived(self._allocation, peer, TcpPeerStream(self._loop, accepted, self._scope))


def _bound(local: TransportAddress) -> socket.socket:
    """Make a TCP socket at a relayed address, which the listener and all its connections share."""
    made = socket.socket(socket.AF_INET6 if local.is_ipv6 else socket.AF_INET, socket.SOCK_STREAM)
    try:
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if local.is_ipv6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(local)
    except OSError as error:
        made.close()
        raise ConnectivityError(f"cannot bind TCP {local}: {reason_of(error)}", code=CODE_BIND) from error
    return made
