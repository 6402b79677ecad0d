"""A UDP socket that moves batches: UDP_GRO on the way in, UDP_SEGMENT on the way out, plain sends elsewhere.

What arrives is handed over as one buffer with many datagrams of one source, ``segment_size`` bytes each but for the
last. The kernel joins by size and address only: STUN, TURN and QUIC of one source may sit in one buffer, so whoever
demultiplexes looks at the first byte of every segment. ``buffer[::segment_size]`` holds just those bytes, and
``min`` and ``max`` of it tell, without a loop, the usual case that all are of one protocol.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from p2p.address import TransportAddress
from p2p.aio.udp_many import dropped_by_kernel, many_receiver
from p2p.aio.udp_options import (
    SO_RXQ_OVFL,
    SOL_UDP,
    UDP_GRO,
    UDP_SEGMENT,
    bind,
    enable,
    forbid_fragments,
    has_gso,
    receiver,
    size_buffers,
)
from p2p.defaults import (
    SOCKET_BUFFER_BYTES,
    UDP_GSO_BYTES,
    UDP_GSO_SEGMENTS,
    UDP_POLL_DELAY_PACKETS_PER_S,
    UDP_POLL_DELAY_S,
    UDP_RATE_INTERVAL_S,
    UDP_WAKEUP_BUDGET_BYTES,
    UDP_WAKEUP_RECEIVES,
)
from p2p.errors import ConnectivityError, ErrorCode

logger = logging.getLogger(__name__)

BatchCallback: TypeAlias = Callable[[bytes, int, TransportAddress, float], None]
"""``on_batch(buffer, segment_size, source, now)``."""

CODE_LOOP: Final = ErrorCode("P2P-4102", "Run under a selector event loop (or uvloop): this one cannot watch sockets.")

_SEGMENT_SIZE = struct.Struct("=H")  # UDP_SEGMENT goes in as a u16 ...
_GRO_SIZE = struct.Struct("@i")  # ... and UDP_GRO comes out as an int.
_DROP_COUNT = struct.Struct("@I")

_GSO_ERRNOS: Final = frozenset({errno.EIO, errno.EINVAL, errno.EMSGSIZE, errno.EOPNOTSUPP, errno.ENOPROTOOPT})
_GSO_FAILURES_BEFORE_GIVING_UP: Final = 8


@dataclass(slots=True)
class UdpStats:
    """What a socket did since it was made; plain counters, read them whenever you like."""

    wakeups: int = 0
    receive_calls: int = 0
    received_datagrams: int = 0
    received_bytes: int = 0
    receive_errors: int = 0
    """Receives that failed, mostly ICMP errors that came back for something we sent."""
    kernel_drops: int = 0
    """Datagrams the kernel dropped because the receive buffer was full (Linux only)."""
    delayed_polls: int = 0
    """Wake-ups after which the socket let packets gather for a moment."""
    send_calls: int = 0
    sent_datagrams: int = 0
    sent_bytes: int = 0
    send_blocked: int = 0
    """Sends the kernel refused because its buffer was full; the caller has kept the datagrams."""
    send_errors: int = 0
    """Datagrams lost because the kernel refused them (no route, firewall): for the caller like any lost packet."""
    send_too_big: int = 0
    """Datagrams lost because they exceed what the path is known to carry; a part of ``send_errors``."""
    gso_failures: int = 0
    """Batches that had to be sent again one by one."""


class UdpSocket:
    """One UDP socket of one address family, bound and read from construction until ``close``.

    Concurrency: one event loop with ``add_reader`` (any asyncio selector loop, or uvloop); no task. Callbacks run on
    the loop and may call ``send``, ``call_when_writable`` and ``close``.

    Args:
        loop: The event loop.
        local: Where to bind; port 0 lets the kernel choose. An IPv6 socket takes IPv6 only.
        on_batch: ``on_batch(buffer, segment_size, source, now)``: the buffer is immutable and holds
            ``ceil(len(buffer) / segment_size)`` datagrams of one source.
        on_drained: ``on_drained(now)``: called once after the batches of each wake-up; send answers here.
        gro: Ask the kernel to join datagrams, where it can.
        gso: Let the kernel cut batches into datagrams, where it can.
        poll_delay_s: How long packets gather under load; 0 reads at once, always.
        buffer_bytes: Size of both kernel buffers, as far as the system allows.
        dont_fragment: Set DF and ignore what the kernel believes about the path's MTU, for whoever probes it.
        remote: The only address to exchange datagrams with; then the kernel tells when nobody listens there
            (``UdpStats.receive_errors``). None takes datagrams from everywhere.
        takes_empty: Hand over empty datagrams too, each with a segment size of 0.
        joins: Receive many datagrams in a call and join them here, for programs that send them one by one.

    Raises:
        ConnectivityError: The address cannot be bound (P2P-4101), or the loop cannot watch sockets (P2P-4102).
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        local: TransportAddress,
        *,
        on_batch: BatchCallback,
        on_drained: Callable[[float], None],
        gro: bool = True,
        gso: bool = True,
        poll_delay_s: float = UDP_POLL_DELAY_S,
        buffer_bytes: int = SOCKET_BUFFER_BYTES,
        dont_fragment: bool = False,
        remote: TransportAddress | None = None,
        takes_empty: bool = False,
        joins: bool = False,
    ) -> None:
        self.stats = UdpStats()
        self._loop = loop
        self._on_batch = on_batch
        self._on_drained = on_drained
        self._poll_delay_s = poll_delay_s
        self._resume_timer: asyncio.TimerHandle | None = None
        self._rate_at = loop.time()
        self._rate_datagrams = 0
        self._is_busy = False
        self._writable_callbacks: list[Callable[[], object]] = []
        self._takes_empty = takes_empty
        self._socket = bind(local, remote)
        self.local_address = TransportAddress.from_socket(self._socket.getsockname())
        self._gro = gro and enable(self._socket, SOL_UDP, UDP_GRO)
        self._gso = gso and has_gso(self._socket)
        self._gso_failures_in_a_row = 0
        many = many_receiver(self._socket) if joins else None
        self._joins = many is not None
        if many is None:
            enable(self._socket, socket.SOL_SOCKET, SO_RXQ_OVFL)
        size_buffers(self._socket, buffer_bytes)
        if dont_fragment:
            forbid_fragments(self._socket)
        self._receive = many or receiver(self._socket)
        # Most batches come from the source of the one before.
        self._last_sockaddr: tuple[Any, ...] = ()
        self._last_source = local
        self._fd = self._socket.fileno()
        try:
            loop.add_reader(self._fd, self._readable)
        except NotImplementedError as error:
            self._socket.close()
            raise ConnectivityError("the event loop has no add_reader", code=CODE_LOOP) from error

    @property
    def has_gro(self) -> bool:
        """Whether the kernel joins what arrives."""
        return self._gro

    @property
    def has_gso(self) -> bool:
        """Whether the kernel cuts what is sent; False too after it failed too often."""
        return self._gso

    @property
    def is_closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._fd < 0

    def send(self, datagrams: Sequence[bytes], destination: TransportAddress) -> int:
        """Send datagrams in order, in as few system calls as their sizes allow.

        Args:
            datagrams: The payloads. Runs of one size, the last of them possibly shorter, share a call.
            destination: Where they go, of the socket's own address family.

        Returns:
            How many are dealt with. Fewer than given means that the kernel's buffer is full: keep the rest and use
            ``call_when_writable``. Datagrams that the network refuses count as dealt with, like any lost packet.
        """
        if self._fd < 0:
            return len(datagrams)
        stats = self.stats
        count = len(datagrams)
        done = 0
        while done < count:
            run = _run_length(datagrams, done) if self._gso else 1
            try:
                if run == 1:
                    stats.sent_bytes += self._socket.sendto(datagrams[done], destination)
                else:
                    size = _SEGMENT_SIZE.pack(len(datagrams[done]))
                    stats.sent_bytes += self._socket.sendmsg(
                        datagrams[done : done + run], [(SOL_UDP, UDP_SEGMENT, size)], 0, destination
                    )
            except (BlockingIOError, InterruptedError):
                stats.send_blocked += 1
                return done
            except OSError as error:
                if run > 1 and error.errno in _GSO_ERRNOS:
                    taken = self._send_one_by_one(datagrams[done : done + run], destination, error)
                    done += taken
                    if taken < run:
                        return done
                    continue
                self._count_send_error(error, run)
            else:
                stats.send_calls += 1
                stats.sent_datagrams += run
                if run > 1:
                    self._gso_failures_in_a_row = 0
            done += run
        return done

    def call_when_writable(self, callback: Callable[[], object]) -> None:
        """Call back once, as soon as the kernel takes datagrams again.

        Args:
            callback: Called from the loop; never called after ``close``.
        """
        if self._fd < 0:
            return
        if not self._writable_callbacks:
            self._loop.add_writer(self._fd, self._writable)
        self._writable_callbacks.append(callback)

    def close(self) -> None:
        """Close the socket; nothing of it stays with the loop. A second call does nothing."""
        if self._fd < 0:
            return
        self._loop.remove_reader(self._fd)
        if self._writable_callbacks:
            self._loop.remove_writer(self._fd)
            self._writable_callbacks.clear()
        if self._resume_timer is not None:
            self._resume_timer.cancel()
            self._resume_timer = None
        self._fd = -1
        self._socket.close()

    # --- receiving -----------------------------------------------------------------------------------------

    def _readable(self) -> None:
        stats = self.stats
        stats.wakeups += 1
        now = self._loop.time()
        budget = UDP_WAKEUP_BUDGET_BYTES
        is_empty = False
        for _ in range(UDP_WAKEUP_RECEIVES):
            try:
                data, ancillary, sockaddr = self._receive()
            except (BlockingIOError, InterruptedError):
                is_empty = True
                break
            except OSError as error:
                # An ICMP error for something sent earlier: it is taken off the socket, so go on reading.
                stats.receive_errors += 1
                logger.debug("receive on %s: %s", self.local_address, error)
                continue
            length = len(data)
            segment_size = length
            for level, kind, value in ancillary:
                if level == SOL_UDP and kind == UDP_GRO:
                    segment_size = _GRO_SIZE.unpack_from(value)[0]
                elif level == socket.SOL_SOCKET and kind == SO_RXQ_OVFL:
                    stats.kernel_drops = _DROP_COUNT.unpack_from(value)[0]
            stats.receive_calls += 1
            if not length:
                stats.received_datagrams += 1
                if not self._takes_empty:
                    continue
                segment_size = 0
            else:
                stats.received_datagrams += -(-length // segment_size)
            stats.received_bytes += length
            if sockaddr != self._last_sockaddr:
                self._last_sockaddr, self._last_source = sockaddr, TransportAddress.from_socket(sockaddr)
            self._on_batch(data, segment_size, self._last_source, now)
            if self._fd < 0:
                return
            budget -= length
            if budget <= 0:
                break
        if self._joins:
            stats.kernel_drops = dropped_by_kernel(self._socket)
        self._on_drained(now)
        if is_empty and self._poll_delay_s and self._fd >= 0:
            self._moderate(now)

    def _moderate(self, now: float) -> None:
        """Under load, look away for a moment, so that the next wake-up finds more to join."""
        elapsed = now - self._rate_at
        if elapsed >= UDP_RATE_INTERVAL_S:
            datagrams = self.stats.received_datagrams
            self._is_busy = datagrams - self._rate_datagrams > UDP_POLL_DELAY_PACKETS_PER_S * elapsed
            self._rate_at, self._rate_datagrams = now, datagrams
        if self._is_busy:
            self.stats.delayed_polls += 1
            self._loop.remove_reader(self._fd)
            self._resume_timer = self._loop.call_later(self._poll_delay_s, self._resume)

    def _resume(self) -> None:
        self._resume_timer = None
        self._loop.add_reader(self._fd, self._readable)
        self._readable()

    # --- sending -------------------------------------------------------------------------------------------

    def _writable(self) -> None:
        callbacks, self._writable_callbacks = self._writable_callbacks, []
        self._loop.remove_writer(self._fd)
        for callback in callbacks:
            callback()

    def _send_one_by_one(self, datagrams: Sequence[bytes], destination: TransportAddress, cause: OSError) -> int:
        """Send again what the kernel would not cut; give batching up when that keeps happening."""
        self.stats.gso_failures += 1
        too_big = self.stats.send_too_big
        taken = self._send_each(datagrams, destination)
        if self.stats.send_too_big > too_big:
            return taken  # a path that has become narrow says nothing of the kernel
        self._gso_failures_in_a_row += 1
        # EIO: this route's device cannot checksum segments, and that does not change. The others may concern one
        # destination (a segment larger than its path) or one moment.
        if cause.errno == errno.EIO or self._gso_failures_in_a_row >= _GSO_FAILURES_BEFORE_GIVING_UP:
            self._gso = False
            logger.info("%s sends datagrams one by one from now on: %s", self.local_address, cause)
        return taken

    def _send_each(self, datagrams: Sequence[bytes], destination: TransportAddress) -> int:
        for index, datagram in enumerate(datagrams):
            try:
                self.stats.sent_bytes += self._socket.sendto(datagram, destination)
            except (BlockingIOError, InterruptedError):
                self.stats.send_blocked += 1
                return index
            except OSError as error:
                self._count_send_error(error, 1)
            else:
                self.stats.send_calls += 1
                self.stats.sent_datagrams += 1
        return len(datagrams)

    def _count_send_error(self, error: OSError, datagrams: int) -> None:
        self.stats.send_errors += datagrams
        if error.errno == errno.EMSGSIZE:
            self.stats.send_too_big += datagrams
        logger.debug("send from %s: %s", self.local_address, error)


def _run_length(datagrams: Sequence[bytes], start: int) -> int:
    """How many datagrams from ``start`` on can share a call: equal sizes, only the last may be shorter."""
    size = len(datagrams[start])
    if not size:
        return 1
    stop = min(len(datagrams), start + min(UDP_GSO_SEGMENTS, max(1, UDP_GSO_BYTES // size)))
    # The usual case, all of one size, without a loop of ours.
    if list(map(len, datagrams[start:stop])).count(size) == stop - start:
        return stop - start
    end = start + 1
    while end < stop and len(datagrams[end]) == size:
        end += 1
    if end < stop and 0 < len(datagrams[end]) < size:
        end += 1
    return end - start
