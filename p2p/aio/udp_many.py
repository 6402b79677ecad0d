"""Receiving from programs that send datagrams one by one: many in a system call, handed over joined as the kernel does.

UDP_GRO joins what arrives together from a network, and what the sender gave the kernel joined; from plain programs on
this machine that is nothing. A call for each datagram then costs 2.6 microseconds of CPU; ``recvmmsg`` and joining 1.1.
"""

from __future__ import annotations

import socket
import struct
from collections import deque
from collections.abc import Callable
from functools import cache
from typing import Any, Final, TypeAlias

from p2p.aio import recvmmsg
from p2p.aio.recvmmsg import NAME_BYTES, MessageArray
from p2p.aio.udp_options import SOL_UDP, UDP_GRO
from p2p.defaults import UDP_RECEIVE_BYTES, UDP_RECEIVE_MANY, UDP_WAKEUP_BUDGET_BYTES

_Received: TypeAlias = tuple[bytes, list[tuple[int, int, bytes]], tuple[Any, ...]]

_SIZE: Final = struct.Struct("@i")
_NAME4: Final = struct.Struct("!2xH4s")
_NAME6: Final = struct.Struct("!2xH4x16s")
_FAMILY: Final = struct.Struct("@H")
_SO_MEMINFO: Final = 55  # Source: asm-generic/socket.h
_MEMINFO: Final = struct.Struct("@9I")
_MEMINFO_DROPS: Final = 8  # Source: SK_MEMINFO_DROPS in linux/sock_diag.h


class _Arena:
    """Memory that all sockets of the process receive into: what arrived is copied out before anybody else receives."""

    def __init__(self, function: Callable[..., int]) -> None:
        data = bytearray(UDP_RECEIVE_MANY * UDP_RECEIVE_BYTES)
        self.view = memoryview(data)
        self.array = MessageArray(function, data, UDP_RECEIVE_MANY, UDP_RECEIVE_BYTES)
        self.names = memoryview(self.array.names)


@cache
def _arena() -> _Arena | None:
    function = recvmmsg.find()
    return None if function is None else _Arena(function)


class ManyReceiver:
    """Takes batches off a socket, like what ``udp_options.receiver`` makes: payload, ancillary data, source.

    Args:
        sock: A UDP socket without ``SO_RXQ_OVFL``, which would need more room beside each message.
        arena: The memory.
    """

    def __init__(self, sock: socket.socket, arena: _Arena) -> None:
        self._descriptor = sock.fileno()
        self._arena = arena
        self._limit = UDP_RECEIVE_MANY
        self._received: deque[_Received] = deque()
        self._name = b""
        self._source: tuple[Any, ...] = ()

    def __call__(self) -> _Received:
        """Give the next batch.

        Raises:
            BlockingIOError: There is none.
            OSError: The socket had an error pending.
        """
        if not self._received:
            self._fill()
        return self._received.popleft()

    def _fill(self) -> None:
        arena = self._arena
        found = arena.array.receive(self._descriptor, self._limit)
        if found is None:
            raise BlockingIOError
        lengths, sizes = found
        count = len(lengths)
        # Large ones, joined by the kernel, fill a wake-up soon, and each touches memory of its own.
        self._limit = max(1, min(UDP_RECEIVE_MANY, UDP_WAKEUP_BUDGET_BYTES // max(1, *lengths)))
        names = bytes(arena.names[: count * NAME_BYTES])
        start = 0
        while start < count:
            length = lengths[start]
            size = 0 if sizes is None else sizes[start]
            end = start + 1
            name = names[start * NAME_BYTES : end * NAME_BYTES]
            if length and not size:
                while (
                    end < count
                    and lengths[end] == length
                    and (sizes is None or not sizes[end])
                    and names.startswith(name, end * NAME_BYTES)
                ):
                    end += 1
            self._take(start, end, length, size or length, name)
            start = end

    def _take(self, start: int, end: int, length: int, size: int, name: bytes) -> None:
        if name != self._name:
            self._name, self._source = name, _source_of(name)
        view = self._arena.view
        first, last = start * UDP_RECEIVE_BYTES, end * UDP_RECEIVE_BYTES
        data = b"".join([view[offset : offset + length] for offset in range(first, last, UDP_RECEIVE_BYTES)])
        self._received.append((data, [(SOL_UDP, UDP_GRO, _SIZE.pack(size))], self._source))


def many_receiver(sock: socket.socket) -> ManyReceiver | None:
    """Make what takes many datagrams off a socket in one call; None where the system cannot."""
    arena = _arena()
    return None if arena is None else ManyReceiver(sock, arena)


def dropped_by_kernel(sock: socket.socket) -> int:
    """Tell how many datagrams found the socket's receive buffer full; 0 where the system does not tell."""
    try:
        found = sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
    except OSError:
        return 0
    drops: int = _MEMINFO.unpack(found)[_MEMINFO_DROPS] if len(found) == _MEMINFO.size else 0
    return drops


def _source_of(name: bytes) -> tuple[str, int]:
    """Read a ``sockaddr_in`` or ``sockaddr_in6``."""
    is_ipv6 = _FAMILY.unpack_from(name)[0] == socket.AF_INET6
    port, host = (_NAME6 if is_ipv6 else _NAME4).unpack_from(name)
    return socket.inet_ntop(socket.AF_INET6 if is_ipv6 else socket.AF_INET, host), port
