"""ChannelData in datagrams: from what a client sent to runs for its peers."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Final

from relay.core.allocation import Allocation, Channel, Payload
from relay.core.counters import Drop, RelayCounters
from relay.shell.arena import SLOT_BYTES, ReceiveArena
from relay.shell.runs import Run, payloads_of

HEADER: Final = struct.Struct("!HH")
HEADER_BYTES: Final = HEADER.size
FIRST_CHANNEL_BYTE: Final = 0x40
LAST_CHANNEL_BYTE: Final = 0x7F

OtherHandler = Callable[[bytes, Allocation], None]
"""Takes a datagram of a client that is no ChannelData."""


class ChannelDataCutter:
    """Hands the ChannelData of a client to its allocation, in runs.

    The usual case, many datagrams on one channel, all alike, costs no step of Python for each of them. Whatever is not
    alike is looked at one by one.

    Args:
        arena: Where the datagrams are.
        counters: What is counted.
        on_other: Gets what is no ChannelData, in its order among it.
    """

    def __init__(self, arena: ReceiveArena, counters: RelayCounters, on_other: OtherHandler) -> None:
        self._arena = arena
        self._counters = counters
        self._on_other = on_other

    def take(self, allocation: Allocation, run: Run) -> None:
        """Take a run of one client whose first four bytes are all alike, or a joined message.

        Args:
            allocation: The client's.
            run: What arrived.
        """
        if run.size:
            self._take_joined(allocation, run.slots[0], run.length, run.size)
            return
        arena = self._arena
        first = run.slots[0] * SLOT_BYTES
        if run.length >= HEADER_BYTES:
            number, size = HEADER.unpack_from(arena.data, first)
            channel = allocation.channels.get(number)
            if channel is not None and size <= run.length - HEADER_BYTES:
                allocation.send_on_channel(channel, payloads_of(arena, run.slots, HEADER_BYTES, size))
                return
        for slot in run.slots:
            self._take_one_by_one(allocation, slot * SLOT_BYTES, slot * SLOT_BYTES + run.length, run.length)

    def take_one(self, allocation: Allocation, length: int, size: int) -> None:
        """Take the message in slot 0.

        Args:
            allocation: The client's.
            length: Of the message, in bytes.
            size: Of its segments; the length where nothing was joined.
        """
        if size < length:
            self._take_joined(allocation, 0, length, size)
            return
        arena = self._arena
        if length >= HEADER_BYTES:
            number, payload_bytes = HEADER.unpack_from(arena.data)
            channel = allocation.channels.get(number)
            if channel is not None and payload_bytes <= length - HEADER_BYTES:
                allocation.send_on_channel(channel, (arena.view[HEADER_BYTES : HEADER_BYTES + payload_bytes],))
                return
        self._take_one_by_one(allocation, 0, length, length)

    def _take_joined(self, allocation: Allocation, slot: int, length: int, step: int) -> None:
        arena = self._arena
        data, start = arena.data, slot * SLOT_BYTES
        end, count = start + length, length // step
        stop = start + count * step
        if step > HEADER_BYTES:
            number, size = HEADER.unpack_from(data, start)
            channel = allocation.channels.get(number)
            if channel is not None and 0 < size <= step - HEADER_BYTES and are_alike(data, start, stop, step, count):
                payloads: list[Payload] = list(arena.segments(slot, step, HEADER_BYTES, size)[:count])
                if end - stop > HEADER_BYTES:
                    last_number, last_size = HEADER.unpack_from(data, stop)
                    if last_number == number and 0 < last_size <= min(size, end - stop - HEADER_BYTES):
                        at = stop + HEADER_BYTES
                        payloads.append(arena.view[at : at + last_size])
                        stop = end
                allocation.send_on_channel(channel, payloads)
                start = stop
        if start < end:
            self._take_one_by_one(allocation, start, end, step)

    def _take_one_by_one(self, allocation: Allocation, start: int, end: int, step: int) -> None:
        data, view, drops = self._arena.data, self._arena.view, self._counters.drops
        waiting = _Waiting(allocation)
        for at in range(start, end, step):
            stop = min(at + step, end)
            if not FIRST_CHANNEL_BYTE <= data[at] <= LAST_CHANNEL_BYTE:
                waiting.flush()  # keep the client's order
                self._on_other(bytes(view[at:stop]), allocation)
                continue
            if stop - at < HEADER_BYTES:
                drops[Drop.MALFORMED] += 1
                continue
            number, size = HEADER.unpack_from(data, at)
            channel = allocation.channels.get(number)
            if channel is None:
                drops[Drop.NO_CHANNEL] += 1
            elif size > stop - at - HEADER_BYTES:
                drops[Drop.MALFORMED] += 1
            else:
                waiting.add(channel, view[at + HEADER_BYTES : at + HEADER_BYTES + size])
        waiting.flush()


class _Waiting:
    """Payloads that are gathered until one comes that cannot go with them."""

    def __init__(self, allocation: Allocation) -> None:
        self._allocation = allocation
        self._channel: Channel | None = None
        self._payloads: list[Payload] = []

    def add(self, channel: Channel, payload: Payload) -> None:
        if channel is not self._channel or not fits(self._payloads, payload):
            self.flush()
            self._channel = channel
        self._payloads.append(payload)

    def flush(self) -> None:
        if self._payloads:
            assert self._channel is not None
            payloads, self._payloads = self._payloads, []
            self._allocation.send_on_channel(self._channel, payloads)


def fits(run: Sequence[Payload], payload: Payload) -> bool:
    """Whether a payload can be the next of a run: all are of one size, the last possibly shorter but not empty."""
    if not run:
        return True
    size = len(run[0])
    return len(run[-1]) == size and (len(payload) == size or 0 < len(payload) < size)


def are_alike(data: bytes | bytearray, start: int, stop: int, step: int, count: int) -> bool:
    """Whether segments begin with the same four bytes."""
    return all(data[at:stop:step].count(data[at]) == count for at in range(start, start + HEADER_BYTES))
