"""Sorting a batch of received messages into runs: what came from one source, alike in size and in its first bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from relay.core.allocation import Payload
from relay.shell.arena import SLOT_BYTES, Batch, Key, ReceiveArena

_MANY = 8
"""From so many messages on, views of all slots are worth making and keeping."""


class Run(NamedTuple):
    """Messages that can go on together.

    Attributes:
        key: Whom they came from; None where the batch has one source only.
        slots: Where they are, in the order of arrival: one slot if the message was joined.
        length: Of each message, in bytes.
        size: Of the segments of a joined message; 0 for messages that were not joined.
    """

    key: Key | None
    slots: Sequence[int]
    length: int
    size: int


def runs_of(batch: Batch, keys: Sequence[Key] | None, heads: Sequence[int] | None) -> Iterator[Run]:
    """Sort a batch into runs. The order of what one source has sent is kept.

    Args:
        batch: What was received.
        keys: Who sent each message; None where all came from one.
        heads: The first bytes of each message, where they must be equal within a run.
    """
    lengths, sizes = batch.lengths, batch.sizes
    count, length = len(lengths), lengths[0]
    is_even = sizes is None and lengths.count(length) == count
    if is_even and _is_one(keys) and _is_one(heads):
        yield Run(keys[0] if keys is not None else None, range(count), length, 0)
        return
    open_runs: dict[Key | None, tuple[int, int, list[int]]] = {}
    for slot in range(count):
        key = keys[slot] if keys is not None else None
        head = heads[slot] if heads is not None else 0
        length = lengths[slot]
        open_run = open_runs.get(key)
        size = sizes[slot] if sizes is not None else 0
        is_joined = 0 < size < length
        if open_run is not None:
            if not is_joined and open_run[0] == length and open_run[1] == head:
                open_run[2].append(slot)
                continue
            yield Run(key, open_run[2], open_run[0], 0)
            del open_runs[key]
        if is_joined:
            yield Run(key, (slot,), length, size)
        else:
            open_runs[key] = (length, head, [slot])
    for key, (length, _, slots) in open_runs.items():
        yield Run(key, slots, length, 0)


def payloads_of(arena: ReceiveArena, slots: Sequence[int], skip: int, size: int) -> list[Payload]:
    """Return the payloads of messages that were not joined.

    Args:
        arena: Where they are.
        slots: In which slots.
        skip: What stands before the payload in each.
        size: Of each payload, in bytes.
    """
    views = arena.across(skip, size, build=len(slots) >= _MANY)
    if views is None:
        view = arena.view
        return [view[at : at + size] for at in [slot * SLOT_BYTES + skip for slot in slots]]
    if isinstance(slots, range):
        return list(views[slots.start : slots.stop])
    return [views[slot] for slot in slots]


def segments_of(arena: ReceiveArena, slot: int, length: int, size: int) -> list[Payload]:
    """Return the datagrams of a joined message.

    Args:
        arena: Where it is.
        slot: In which slot.
        length: Of the message, in bytes.
        size: Of each datagram but the last, in bytes.
    """
    whole = length // size
    payloads: list[Payload] = list(arena.segments(slot, size, 0, size)[:whole])
    if whole * size < length:
        payloads.append(arena.slot_view(slot, whole * size, length))
    return payloads


def _is_one(values: Sequence[object] | None) -> bool:
    return values is None or values.count(values[0]) == len(values)
