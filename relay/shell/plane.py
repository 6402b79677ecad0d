"""The relay's data plane: what all of its UDP sockets share, and how each of them is read."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import struct
import sys
from abc import ABC, abstractmethod
from typing import Final

from p2p.address import TransportAddress
from p2p.aio.udp_options import SOL_UDP, UDP_GRO, enable, size_buffers
from p2p.defaults import RELAY_BATCH_BYTES, RELAY_CLIENT_BATCH, RELAY_LONG_QUEUE_ROUNDS, RELAY_SHORT_BATCH
from p2p.errors import ConnectivityError
from relay.core.counters import RelayCounters
from relay.shell.arena import Batch, ReceiveArena
from relay.shell.poller import make_poller
from relay.shell.sending import RunSender

logger = logging.getLogger(__name__)

_SO_MEMINFO: Final = 55
_MEMINFO: Final = struct.Struct("=9I")
_MEMINFO_DROPS: Final = 8


class DataPlane:
    """One arena and one poller for all UDP sockets of a relay.

    Concurrency: one event loop; no task.

    Args:
        loop: The event loop.
        counters: What is counted.
        arena: Where sockets receive; None makes one.

    Raises:
        ConnectivityError: The loop cannot watch sockets (P2P-4102).
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, counters: RelayCounters, *, arena: ReceiveArena | None = None
    ) -> None:
        self.loop = loop
        self.counters = counters
        self.arena = arena or ReceiveArena()
        self.poller = make_poller(loop, self.arena)

    def close(self) -> None:
        """Watch no socket any longer."""
        self.poller.close()


class DataSocket(ABC):
    """A UDP socket of the data plane.

    One message is received a wake-up until the socket has been ready many rounds in a row; then whole batches are,
    until they are short: for a single message the plain call is the cheaper one.

    Args:
        plane: What it is a part of.
        sock: A bound socket; closed with this object.
        buffer_bytes: Size of both kernel buffers, as far as the system allows.
        batch: Messages one wake-up takes at most.
        batch_bytes: Bytes one wake-up should take at most, where the kernel joins; None for any number.
    """

    def __init__(
        self,
        plane: DataPlane,
        sock: socket.socket,
        *,
        buffer_bytes: int,
        batch: int = RELAY_CLIENT_BATCH,
        batch_bytes: int | None = RELAY_BATCH_BYTES,
    ) -> None:
        self.plane = plane
        self.arena = plane.arena
        self.socket = sock
        self.local_address = TransportAddress.from_socket(sock.getsockname())
        self.has_gro = enable(sock, SOL_UDP, UDP_GRO)
        size_buffers(sock, buffer_bytes)
        self.sender = RunSender(sock, plane.counters)
        self._is_ipv6 = sock.family == socket.AF_INET6
        self._most = batch
        self._batch_bytes = batch_bytes
        self._limit = batch
        self._is_batching = False
        self._streak = 0
        self._last_round = 0

    def watch(self) -> None:
        """Begin to read.

        Raises:
            ConnectivityError: The loop cannot watch sockets (P2P-4102); the socket is closed then.
        """
        try:
            self.plane.poller.add(self.socket.fileno(), self.read)
        except ConnectivityError:
            self.close()
            raise

    @property
    def is_closed(self) -> bool:
        """Whether ``close`` was called."""
        return self.socket.fileno() < 0

    @property
    def kernel_drops(self) -> int:
        """How many datagrams the kernel dropped because the receive buffer was full; 0 where it does not say."""
        if sys.platform != "linux" or self.is_closed:
            return 0
        try:
            found = self.socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
        except OSError:
            return 0
        drops: int = _MEMINFO.unpack(found)[_MEMINFO_DROPS] if len(found) == _MEMINFO.size else 0
        return drops

    def close(self) -> None:
        """Close the socket; a second call does nothing."""
        if not self.is_closed:
            self.plane.poller.remove(self.socket.fileno())
            self.socket.close()

    def read(self) -> None:
        """Take one message or one batch, if there is any."""
        try:
            if self._is_batching:
                batch = self.arena.receive_many(self.socket, self._limit)
                if batch is None or len(batch) < RELAY_SHORT_BATCH:
                    self._is_batching = False
                    self._streak = 0
                if batch is None:
                    self.take_errors()
                    return
                if self._batch_bytes is not None:
                    self._adapt(batch, self._batch_bytes)
                self.take_batch(batch)
                return
            length, size, source = self.arena.receive_one(self.socket)
        except (BlockingIOError, InterruptedError):
            self.take_errors()
            return
        except OSError as error:
            # An ICMP error for something sent earlier; it is taken off the socket by this.
            if error.errno in (errno.EBADF, errno.ENOTSOCK):
                raise
            logger.debug("receive on %s: %s", self.local_address, error)
            self.take_errors()
            return
        this_round = self.plane.poller.round
        self._streak = self._streak + 1 if this_round - self._last_round <= 1 else 1
        self._last_round = this_round
        if self._streak >= RELAY_LONG_QUEUE_ROUNDS:
            self._is_batching = True
        self.take_one(length, size, source)
        return

    def take_errors(self) -> None:  # noqa: B027 -- most sockets keep none
        """Take ICMP errors, on a socket that lets the kernel keep them: called when nothing else is there."""

    @abstractmethod
    def take_one(self, length: int, size: int, source: TransportAddress) -> None:
        """Take the message in slot 0.

        Args:
            length: Of the message, in bytes.
            size: Of its segments; the length where nothing was joined.
            source: Where it came from.
        """

    @abstractmethod
    def take_batch(self, batch: Batch) -> None:
        """Take the messages in slots 0 and following."""

    def _adapt(self, batch: Batch, most_bytes: int) -> None:
        """Take fewer messages a wake-up when the kernel joins a lot into each."""
        if batch.sizes is not None:
            mean = sum(batch.lengths) // len(batch)
            self._limit = max(RELAY_SHORT_BATCH, min(self._most, most_bytes // max(mean, 1)))
        else:
            self._limit = self._most
