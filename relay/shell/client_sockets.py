"""Sockets of single clients, so that what one of them sends too fast fills its own queue and nobody else's.

Such a socket has the listener's address and is connected to the client, so the kernel prefers it for what the client
sends. Between binding and connecting, other clients' datagrams may end up in it: they are taken out and handed on.
"""

from __future__ import annotations

import logging
import platform
import re
import socket
import sys
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from p2p.address import TransportAddress
from p2p.defaults import (
    RELAY_CLIENT_SOCKET_PACKETS,
    RELAY_CLIENT_SOCKET_WINDOW_S,
    RELAY_CLIENT_SOCKETS,
    RELAY_CLIENT_SOCKETS_LINEAR,
    RELAY_SOCKET_BUFFER_BYTES,
)
from relay.core.allocation import Allocation
from relay.shell.arena import Batch
from relay.shell.legs import DatagramLeg
from relay.shell.plane import DataPlane, DataSocket

logger = logging.getLogger(__name__)

_HASHED_SINCE: Final = (6, 13)
_DRAIN_BATCHES: Final = 16
"""How often a queue is read to be empty: more messages than its buffer can hold."""


class ClientHandler(Protocol):
    """The listener, to whom a client's socket brings what it receives."""

    def take_one(self, length: int, size: int, source: TransportAddress) -> None:
        """Take the message in slot 0."""
        ...

    def take_batch(self, batch: Batch) -> None:
        """Take messages of any clients."""
        ...

    def take_batch_of(self, client: TransportAddress, batch: Batch) -> None:
        """Take messages of one client."""
        ...


class ClientSocket(DataSocket):
    """The socket of one client.

    Args:
        plane: What it is a part of.
        sock: Bound to the listener's address and connected to the client.
        client: The client's address.
        handler: The listener.
        on_closed: Called when it is closed.
    """

    def __init__(
        self,
        plane: DataPlane,
        sock: socket.socket,
        client: TransportAddress,
        handler: ClientHandler,
        on_closed: Callable[[ClientSocket], None],
    ) -> None:
        super().__init__(plane, sock, buffer_bytes=RELAY_SOCKET_BUFFER_BYTES)
        self._client = client
        self._handler = handler
        self._on_closed = on_closed

    def take_one(self, length: int, size: int, source: TransportAddress) -> None:
        """Take the message in slot 0."""
        self._handler.take_one(length, size, self._client)

    def take_batch(self, batch: Batch) -> None:
        """Take messages of the client."""
        self._handler.take_batch_of(self._client, batch)

    def drain(self) -> None:
        """Hand on what is queued, whoever sent it."""
        for _ in range(_DRAIN_BATCHES):
            try:
                batch = self.arena.receive_many(self.socket, self.arena.slots)
            except OSError as error:
                logger.debug("receive on %s: %s", self.local_address, error)
                continue
            if batch is None:
                return
            self._handler.take_batch(batch)

    def retire(self) -> None:
        """Hand on what is queued, and close: the listener gets what the client sends from now on."""
        if not self.is_closed:
            self.drain()
            self.close()

    def close(self) -> None:
        """Close the socket."""
        if not self.is_closed:
            super().close()
            self._on_closed(self)


class ClientSockets:
    """Gives busy clients of one listener sockets of their own.

    Args:
        plane: What they are a part of.
        listener: The listener's socket, bound without leave for others to share its address.
        handler: The listener.
        others: Sockets of other processes that share the listener's address.
        limit: How many there may be; None takes what suits the kernel.
    """

    def __init__(
        self,
        plane: DataPlane,
        listener: socket.socket,
        handler: ClientHandler,
        *,
        others: Sequence[socket.socket] = (),
        limit: int | None = None,
    ) -> None:
        self._plane = plane
        self._listener = listener
        self._bound = (listener, *others)
        self._handler = handler
        self._sockets: set[ClientSocket] = set()
        self._wanted: list[tuple[Allocation, DatagramLeg]] = []
        self._local = TransportAddress.from_socket(listener.getsockname())
        self._limit = 0 if not _can_connect(self._local) else _suitable_limit() if limit is None else limit

    def __len__(self) -> int:
        return len(self._sockets)

    def note(self, allocation: Allocation) -> None:
        """Take notice of a client that has just sent something to the listener.

        Args:
            allocation: The client's.
        """
        leg = allocation.leg
        if not isinstance(leg, DatagramLeg) or allocation.packets - leg.mark < RELAY_CLIENT_SOCKET_PACKETS:
            return
        now = self._plane.loop.time()
        is_busy = now - leg.marked_at <= RELAY_CLIENT_SOCKET_WINDOW_S
        leg.mark, leg.marked_at = allocation.packets, now
        if is_busy and leg.on_end is None and len(self._sockets) + len(self._wanted) < self._limit:
            # Not now: the arena holds messages that are not dealt with yet.
            if not self._wanted:
                self._plane.loop.call_soon(self._open_wanted)
            self._wanted.append((allocation, leg))

    def close(self) -> None:
        """Close all of them."""
        self._wanted.clear()
        for sock in list(self._sockets):
            sock.close()

    def _open_wanted(self) -> None:
        wanted, self._wanted = self._wanted, []
        for allocation, leg in wanted:
            if allocation.sockets and leg.on_end is None:
                self._open(leg)

    def _open(self, leg: DatagramLeg) -> None:
        made: socket.socket | None = None
        try:
            made = socket.socket(self._listener.family, socket.SOCK_DGRAM)
            made.setblocking(False)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if self._listener.family == socket.AF_INET6:
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            own = ClientSocket(self._plane, made, leg.client, self._handler, self._sockets.discard)
            # Others may share the listener's address for this moment only: any program could take its clients away.
            self._permit_sharing(1)
            try:
                made.bind(self._local)
            finally:
                self._permit_sharing(0)
            made.connect(leg.client)
        except OSError as error:
            logger.info("no socket for client %s: %s", leg.client, error)
            if made is not None:
                made.close()
            return
        self._sockets.add(own)
        own.drain()
        own.watch()
        leg.use(own.sender, lambda: self._retire(own))

    def _permit_sharing(self, setting: int) -> None:
        for sock in self._bound:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, setting)

    def _retire(self, own: ClientSocket) -> None:
        # Not now: the arena may hold messages of this very client that are not dealt with yet.
        self._plane.loop.call_soon(own.retire)


def _can_connect(local: TransportAddress) -> bool:
    """Whether sockets can share an address and the kernel prefers the connected one. Tried on Linux only."""
    return sys.platform == "linux" and not local.ip.is_unspecified


def _suitable_limit() -> int:
    found = re.match(r"(\d+)\.(\d+)", platform.release())
    is_hashed = found is not None and (int(found[1]), int(found[2])) >= _HASHED_SINCE
    return RELAY_CLIENT_SOCKETS if is_hashed else RELAY_CLIENT_SOCKETS_LINEAR
