"""The memory that all UDP sockets of the relay receive into, one after the other, and the views of it.

What is received is sent on before anything else is received, so one arena is enough for any number of sockets, and no
payload byte is ever copied in Python.
"""

from __future__ import annotations

import errno
import socket
import struct
import sys
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

from p2p.address import TransportAddress
from p2p.aio import recvmmsg
from p2p.aio.recvmmsg import NAME_BYTES, MessageArray
from p2p.aio.udp_options import SOL_UDP, UDP_GRO
from p2p.defaults import RELAY_ADDRESSES_REMEMBERED, RELAY_RECEIVE_SLOTS, RELAY_VIEWS_REMEMBERED, UDP_RECEIVE_BYTES

SLOT_BYTES: Final = UDP_RECEIVE_BYTES + 192
"""One joined buffer, and a little more, so that the slots do not compete for the same lines of the cache."""

Key: TypeAlias = int | bytes | tuple[Any, ...]
"""A source address: as the kernel wrote it, or as the socket module tells it."""

_GRO_SIZE: Final = struct.Struct("@i")
_CONTROL_BYTES: Final = 64
_WORDS_A_NAME: Final = NAME_BYTES // 8
_WORDS_A_SLOT: Final = SLOT_BYTES // 4


class Batch:
    """Messages that one call received into slots 0 and following.

    Attributes:
        lengths: Of each message, in bytes.
        sizes: Segment size of each message, 0 where nothing was joined; None when nothing was joined in any.
    """

    __slots__ = ("lengths", "sizes")

    def __init__(self, lengths: list[int], sizes: list[int] | None) -> None:
        self.lengths = lengths
        self.sizes = sizes

    def __len__(self) -> int:
        return len(self.lengths)


class ReceiveArena:
    """Slots for received messages.

    Attributes:
        data: All slots; slot n begins at ``n * SLOT_BYTES``.
        view: The same as a memoryview.
        received: Messages received so far.
        calls: System calls that received them.

    Args:
        slots: How many messages one call can receive.
        use_recvmmsg: Whether to use ``recvmmsg`` where the system has it.
    """

    def __init__(self, slots: int = RELAY_RECEIVE_SLOTS, *, use_recvmmsg: bool = True) -> None:
        self.slots = slots
        self.data = bytearray(slots * SLOT_BYTES)
        self.view = memoryview(self.data)
        self.received = 0
        self.calls = 0
        self._words = self.view.cast("I")
        self._first_slot = [self.view[:UDP_RECEIVE_BYTES]]
        function = recvmmsg.find() if use_recvmmsg else None
        self._array = MessageArray(function, self.data, slots, SLOT_BYTES) if function is not None else None
        self._names = memoryview(self._array.names) if self._array is not None else memoryview(b"")
        self._name_words = self._names.cast("Q") if self._array is not None else None
        self._addresses: dict[Key, TransportAddress] = {}
        self._sources: list[Key] = []
        self._views: dict[tuple[int, int, int, int], list[memoryview]] = {}
        self._view_count = 0

    # --- receiving -----------------------------------------------------------------------------------------

    def receive_one(self, sock: socket.socket) -> tuple[int, int, TransportAddress]:
        """Receive one message into slot 0.

        Args:
            sock: A non-blocking UDP socket.

        Returns:
            Its length, its segment size (the length where nothing was joined), its source.

        Raises:
            OSError: Nothing was there (BlockingIOError), or an error was pending.
        """
        if sys.platform == "win32":  # no recvmsg there
            length, sockaddr = sock.recvfrom_into(self._first_slot[0])
            size = length
        else:
            length, ancillary, _flags, sockaddr = sock.recvmsg_into(self._first_slot, _CONTROL_BYTES)
            size = _segment_size(ancillary, length) if ancillary else length
        self.received += 1
        self.calls += 1
        return length, size, self.address_of(sockaddr)

    def receive_many(self, sock: socket.socket, limit: int) -> Batch | None:
        """Receive what is there.

        Args:
            sock: A non-blocking UDP socket.
            limit: How many messages at most.

        Returns:
            The batch, or None when nothing was there.

        Raises:
            OSError: An error was pending; it is taken off the socket by that.
        """
        limit = min(limit, self.slots)
        if self._array is None:
            return self._receive_in_turn(sock, limit)
        found = self._array.receive(sock.fileno(), limit)
        if found is None:
            return None
        self.received += len(found[0])
        self.calls += 1
        return Batch(*found)

    def _receive_in_turn(self, sock: socket.socket, limit: int) -> Batch | None:
        lengths: list[int] = []
        sizes: list[int] = []
        self._sources.clear()
        for slot in range(limit):
            room = self.view[slot * SLOT_BYTES : slot * SLOT_BYTES + UDP_RECEIVE_BYTES]
            try:
                if sys.platform == "win32":
                    length, sockaddr = sock.recvfrom_into(room)
                    size = length
                else:
                    length, ancillary, _flags, sockaddr = sock.recvmsg_into([room], _CONTROL_BYTES)
                    size = _segment_size(ancillary, 0)
            except OSError as error:
                if lengths or error.errno in (errno.EAGAIN, errno.EWOULDBLOCK, errno.EINTR):
                    break
                raise
            lengths.append(length)
            sizes.append(size)
            self._sources.append(sockaddr)
        self.received += len(lengths)
        self.calls += len(lengths)
        return Batch(lengths, sizes if any(sizes) else None) if lengths else None

    # --- what was received ---------------------------------------------------------------------------------

    def keys(self, batch: Batch, *, is_ipv6: bool) -> Sequence[Key]:
        """Return what tells the sources of a batch apart; ``address_of`` makes addresses of it."""
        count = len(batch)
        if self._name_words is None:
            return self._sources[:count]
        if not is_ipv6:  # family, port and address: the first eight bytes
            return self._name_words[: _WORDS_A_NAME * count : _WORDS_A_NAME].tolist()
        names, step = self._names, NAME_BYTES
        return [bytes(names[at + 2 : at + 4]) + bytes(names[at + 8 : at + 24]) for at in range(0, step * count, step)]

    def address_of(self, key: Key) -> TransportAddress:
        """Turn a key into an address."""
        address = self._addresses.get(key)
        if address is None:
            if len(self._addresses) >= RELAY_ADDRESSES_REMEMBERED:
                self._addresses.clear()
            address = self._addresses[key] = _decode(key)
        return address

    def heads(self, batch: Batch) -> list[int]:
        """Return the first four bytes of each message of a batch, as a number that is good for comparing only."""
        found: list[int] = self._words[: _WORDS_A_SLOT * len(batch) : _WORDS_A_SLOT].tolist()
        return found

    # --- views ---------------------------------------------------------------------------------------------

    def slot_view(self, slot: int, start: int, stop: int) -> memoryview:
        """Return a view of a part of a slot."""
        base = slot * SLOT_BYTES
        return self.view[base + start : base + stop]

    def segments(self, slot: int, step: int, skip: int, size: int) -> list[memoryview]:
        """Return views of ``size`` bytes, ``skip`` bytes into each segment of a slot.

        Args:
            slot: The slot.
            step: Size of the segments, at least ``skip + size``.
            skip: What stands before the payload in each.
            size: Size of each payload.

        Returns:
            The views of all segments that fit; the list is kept, so do not change it.
        """
        key = (slot, step, skip, size)
        views = self._views.get(key)
        if views is None:
            start, view = slot * SLOT_BYTES, self.view
            places = range(start + skip, start + UDP_RECEIVE_BYTES - step + skip + 1, step)
            views = self._remember(key, [view[at : at + size] for at in places])
        return views

    def across(self, skip: int, size: int, *, build: bool) -> list[memoryview] | None:
        """Return views of ``size`` bytes, ``skip`` bytes into each slot.

        Args:
            skip: What stands before the payload in each.
            size: Of each view, in bytes.
            build: Whether to make them if they are not kept from an earlier time.

        Returns:
            The views, one for each slot; the list is kept, so do not change it.
        """
        key = (-1, 0, skip, size)
        views = self._views.get(key)
        if views is None and build:
            view = self.view
            places = range(skip, self.slots * SLOT_BYTES, SLOT_BYTES)
            views = self._remember(key, [view[at : at + size] for at in places])
        return views

    def _remember(self, key: tuple[int, int, int, int], views: list[memoryview]) -> list[memoryview]:
        if self._view_count + len(views) > RELAY_VIEWS_REMEMBERED:
            self._views.clear()
            self._view_count = 0
        self._views[key] = views
        self._view_count += len(views)
        return views


def _segment_size(ancillary: list[tuple[int, int, bytes]], default: int) -> int:
    for level, kind, value in ancillary:
        if level == SOL_UDP and kind == UDP_GRO:
            size: int = _GRO_SIZE.unpack_from(value)[0]
            return size
    return default


def _decode(key: Key) -> TransportAddress:
    if isinstance(key, int):
        raw = key.to_bytes(8, sys.byteorder)
        return TransportAddress(socket.inet_ntop(socket.AF_INET, raw[4:8]), int.from_bytes(raw[2:4], "big"))
    if isinstance(key, tuple):
        return TransportAddress.from_socket(key)
    return TransportAddress.from_socket((socket.inet_ntop(socket.AF_INET6, key[2:18]), int.from_bytes(key[:2], "big")))
