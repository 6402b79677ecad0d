"""Hold packets in a kernel queue (NFQUEUE) and let them go in batches.

The kernel sends us a note for each packet, its number in there, and keeps the packet. One verdict lets go of a packet
and all before it, so that 100,000 packets a second pass through a Python process.

Source: linux/netfilter/nfnetlink_queue.h, linux/netfilter/nf_tables.h, linux/netfilter/xt_NFQUEUE.h
"""

from __future__ import annotations

import random
import socket
import struct
import time
from collections import deque
from typing import Final

from .netlink import (
    FLAG_ACK,
    FLAG_APPEND,
    FLAG_CREATE,
    FLAG_REQUEST,
    attribute,
    expect_acknowledgement,
    nested,
    netfilter_message,
    open_netfilter,
)

_SUBSYSTEM: Final = 3 << 8
_CONFIG: Final = _SUBSYSTEM | 2
_VERDICT_BATCH: Final = _SUBSYSTEM | 3
_CONFIG_BIND: Final = struct.pack("!BBH", 1, 0, 0)
# Copy what is known about a packet, its number above all, but no byte of the packet itself.
_CONFIG_COPY_META: Final = struct.pack("!IB", 0, 1)
# Take packets that will be cut up later (GSO) whole, do not cut them here.
_FLAG_GSO: Final = struct.pack("!I", 4)
_ACCEPT: Final = 1
_PACKET_ID_AT: Final = 24
_NOTE: Final = struct.Struct("!I")

# A second of full-size packets at 700 Mbit/s.
_CAPACITY_PACKETS: Final = 65_535
_SOCKET_BUFFER_BYTES: Final = 64 << 20
_SO_RCVBUFFORCE: Final = 33
_SOL_NETLINK: Final = 270
_NETLINK_NO_ENOBUFS: Final = 5
# Notes taken from one queue before the others get their turn.
_NOTES_A_TURN: Final = 256

_NFT_SUBSYSTEM: Final = 10
_NFT_NEW_RULE: Final = (_NFT_SUBSYSTEM << 8) | 6
_BATCH_BEGIN: Final = 0x10
_BATCH_END: Final = 0x11
_FAMILY_INET: Final = 1


class PacketQueue:
    """One queue of the kernel, whose packets leave in the order they came, `delay_s` later.

    Args:
        number: The queue's number in this namespace.

    Raises:
        OSError: The kernel has no such queues, or another process has this one.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.delay_s = 0.0
        self.jitter_s = 0.0
        self._waiting: deque[tuple[float, int]] = deque()
        self._last_release_at = 0.0
        self._note = bytearray(256)
        self._socket = open_netfilter()
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _SOCKET_BUFFER_BYTES)
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_NO_ENOBUFS, 1)
        for body in (
            attribute(1, _CONFIG_BIND),
            attribute(2, _CONFIG_COPY_META),
            attribute(3, _NOTE.pack(_CAPACITY_PACKETS)),
            attribute(4, _FLAG_GSO) + attribute(5, _FLAG_GSO),
        ):
            self._socket.send(netfilter_message(_CONFIG, FLAG_REQUEST | FLAG_ACK, 0, 0, number, body))
            expect_acknowledgement(self._socket)
        self._socket.setblocking(False)

    def fileno(self) -> int:
        """For `select`: readable when packets came."""
        return self._socket.fileno()

    @property
    def next_release_at(self) -> float | None:
        """When the first packet has to leave, on the monotonic clock, or None when none waits."""
        return self._waiting[0][0] if self._waiting else None

    def take_notes(self) -> None:
        """Read which packets came, and set when they leave."""
        note, unpack, append = self._note, _NOTE.unpack_from, self._waiting.append
        last = self._last_release_at
        try:
            for _ in range(_NOTES_A_TURN):
                self._socket.recv_into(note)
                release_at = time.monotonic() + self.delay_s
                if self.jitter_s:
                    release_at += random.random() * self.jitter_s  # noqa: S311 - a link, not a secret
                last = max(last, release_at)
                append((last, unpack(note, _PACKET_ID_AT)[0]))
        except BlockingIOError:
            pass
        self._last_release_at = last

    def release(self, now: float) -> None:
        """Let go of every packet whose time has come."""
        waiting, last = self._waiting, None
        while waiting and waiting[0][0] <= now:
            last = waiting.popleft()[1]
        if last is not None:
            verdict = attribute(2, struct.pack("!II", _ACCEPT, last))
            self._socket.send(netfilter_message(_VERDICT_BATCH, FLAG_REQUEST, 0, 0, self.number, verdict))


def append_queue_rule(table: str, chain: str, number: int) -> None:
    """Append a rule that puts every packet into a queue, in the namespace we are in.

    The same as ``nft add rule inet TABLE CHAIN queue num N``, for kernels that have the queue only as a target of
    the older rule language.

    Raises:
        OSError: The kernel has no such target, or no such chain.
    """
    target = nested(
        2,
        attribute(1, b"NFQUEUE\0"),
        attribute(2, struct.pack("!I", 3)),
        attribute(3, struct.pack("=HHH", number, 1, 0)),
    )
    rule = (
        attribute(1, table.encode() + b"\0")
        + attribute(2, chain.encode() + b"\0")
        + nested(4, nested(1, attribute(1, b"target\0"), target))
    )
    flags = FLAG_REQUEST | FLAG_ACK | FLAG_CREATE | FLAG_APPEND
    with open_netfilter() as link:
        link.send(
            netfilter_message(_BATCH_BEGIN, FLAG_REQUEST, 1, 0, _NFT_SUBSYSTEM)
            + netfilter_message(_NFT_NEW_RULE, flags, 2, _FAMILY_INET, 0, rule)
            + netfilter_message(_BATCH_END, FLAG_REQUEST, 3, 0, _NFT_SUBSYSTEM)
        )
        expect_acknowledgement(link)
