"""Sending runs: datagrams of one size, the last possibly shorter, in as few system calls as the kernel allows."""

from __future__ import annotations

import errno
import functools
import logging
import socket
import struct
from collections.abc import Sequence
from typing import Final

from p2p.address import TransportAddress
from p2p.aio.udp_options import SOL_UDP, UDP_SEGMENT, has_gso
from p2p.defaults import UDP_GSO_BYTES, UDP_GSO_SEGMENTS
from relay.core.allocation import Payload
from relay.core.counters import Drop, RelayCounters

logger = logging.getLogger(__name__)

_SEGMENT_SIZE: Final = struct.Struct("=H")  # in as a u16, although UDP_GRO comes out as an int
_NO_ANCILLARY: Final[list[tuple[int, int, bytes]]] = []
_TOO_LARGE: Final = frozenset({errno.EMSGSIZE, errno.EINVAL})
_CANNOT: Final = frozenset({errno.EIO, errno.EOPNOTSUPP, errno.ENOPROTOOPT})
_LEAST_SEGMENT_BYTES: Final = 1024
"""A segment of this size fits every path: a kernel that refuses it refuses them all."""


class RunSender:
    """Sends through one UDP socket, and learns what its kernel and its device can do.

    Args:
        sock: A non-blocking UDP socket.
        counters: Where lost datagrams are counted.
        gso: Let the kernel cut runs into datagrams, where it can.
    """

    __slots__ = ("_counters", "_largest_segment", "_socket")

    def __init__(self, sock: socket.socket, counters: RelayCounters, *, gso: bool = True) -> None:
        self._socket = sock
        self._counters = counters
        self._largest_segment = UDP_GSO_BYTES if gso and has_gso(sock) else 0

    @property
    def has_gso(self) -> bool:
        """Whether the kernel cuts runs; False too after it has refused."""
        return self._largest_segment > 0

    def send(self, data: Payload, destination: TransportAddress | None) -> None:
        """Send one datagram.

        Args:
            data: The datagram.
            destination: Where it goes; None for a connected socket.
        """
        try:
            if destination is None:
                self._socket.send(data)
            else:
                self._socket.sendto(data, destination)
        except OSError as error:
            self._one_failed(error, (data,), destination)

    def send_run(self, parts: Sequence[Payload], each: int, size: int, destination: TransportAddress | None) -> None:
        """Send a run. What the kernel does not take is lost and counted.

        Args:
            parts: The pieces of the datagrams, one after the other.
            each: How many pieces make one datagram.
            size: Size of each datagram but the last, in bytes.
            destination: Where it goes; None for a connected socket.
        """
        count = len(parts) // each
        if count == 1:
            self._send_one(parts, destination)
            return
        if not 0 < size <= self._largest_segment:
            self._send_one_by_one(parts, each, destination)
            return
        most = min(UDP_GSO_SEGMENTS, UDP_GSO_BYTES // size) * each
        if len(parts) <= most:
            self._send_joined(parts, each, size, destination)
            return
        for start in range(0, len(parts), most):
            chunk = parts[start : start + most]
            if len(chunk) == each or not self._largest_segment:
                self._send_one_by_one(chunk, each, destination)
            else:
                self._send_joined(chunk, each, size, destination)

    def _send_joined(
        self, parts: Sequence[Payload], each: int, size: int, destination: TransportAddress | None
    ) -> None:
        try:
            if destination is None:
                self._socket.sendmsg(parts, _gso(size))
            else:
                self._socket.sendmsg(parts, _gso(size), 0, destination)
        except OSError as error:
            final = self._once_more(error, parts, _gso(size), destination)
            if isinstance(final, (BlockingIOError, InterruptedError)):
                self._counters.drops[Drop.SOCKET_BUFFER_FULL] += len(parts) // each
            elif final is not None:
                self._learn(final, size)
                self._send_one_by_one(parts, each, destination)

    def _send_one_by_one(self, parts: Sequence[Payload], each: int, destination: TransportAddress | None) -> None:
        for start in range(0, len(parts), each):
            self._send_one(parts[start : start + each], destination)

    def _send_one(self, parts: Sequence[Payload], destination: TransportAddress | None) -> None:
        try:
            if destination is None:
                self._socket.sendmsg(parts)
            else:
                self._socket.sendmsg(parts, _NO_ANCILLARY, 0, destination)
        except OSError as error:
            self._one_failed(error, parts, destination)

    def _one_failed(self, error: OSError, parts: Sequence[Payload], destination: TransportAddress | None) -> None:
        final = self._once_more(error, parts, _NO_ANCILLARY, destination)
        if final is None:
            return
        full = isinstance(final, (BlockingIOError, InterruptedError))
        self._counters.drops[Drop.SOCKET_BUFFER_FULL if full else Drop.SEND_FAILED] += 1
        if not full:
            logger.debug("send to %s: %s", destination, final)

    def _once_more(
        self,
        error: OSError,
        parts: Sequence[Payload],
        ancillary: list[tuple[int, int, bytes]],
        destination: TransportAddress | None,
    ) -> OSError | None:
        """Send again what failed: the error may be news of an earlier datagram, and taken off the socket by that.

        Peers cause such news by ICMP, so nothing must be learnt from it.

        Returns:
            The error that is about these parts; None when they are on their way.
        """
        if isinstance(error, (BlockingIOError, InterruptedError)):
            return error
        try:
            if destination is None:
                self._socket.sendmsg(parts, ancillary)
            else:
                self._socket.sendmsg(parts, ancillary, 0, destination)
        except OSError as again:
            return again
        return None

    def _learn(self, error: OSError, size: int) -> None:
        """Remember what the kernel refused: it costs a system call to ask again."""
        if error.errno in _CANNOT or (error.errno in _TOO_LARGE and size <= _LEAST_SEGMENT_BYTES):
            # This route's device cannot checksum segments, or the kernel cannot cut.
            self._largest_segment = 0
            logger.info("datagrams are sent one by one from now on: %s", error)
        elif error.errno in _TOO_LARGE:
            # A segment must fit the path's MTU, although a single datagram may be fragmented.
            self._largest_segment = size - 1


@functools.lru_cache(maxsize=4096)
def _gso(size: int) -> list[tuple[int, int, bytes]]:
    return [(SOL_UDP, UDP_SEGMENT, _SEGMENT_SIZE.pack(size))]
