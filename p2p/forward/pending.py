"""Bytes that have arrived and wait for a local connection to take them."""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import Final

from p2p.forward.local_end import LocalEnd
from p2p.forward.throttle import Valve

_BUFFERS_A_SEND: Final = 256
"""Below the kernel's limit of 1,024 buffers a call, above what a socket buffer takes of packet-sized pieces."""
_JOIN_BELOW_BYTES: Final = 4096
"""Smaller pieces are joined: each costs as much again in bookkeeping, and a hostile peer could send single bytes."""
_JOINED_MAX_BYTES: Final = 64 << 10


class PendingBytes:
    """A queue of pieces as they came, written in as few calls as possible."""

    __slots__ = ("_pieces",)

    def __init__(self) -> None:
        self._pieces: deque[bytes | bytearray] = deque()

    def __bool__(self) -> bool:
        return bool(self._pieces)

    def add(self, data: bytes) -> None:
        """Put bytes at the end."""
        if self._pieces and len(data) < _JOIN_BELOW_BYTES and len(last := self._pieces[-1]) < _JOINED_MAX_BYTES:
            if not isinstance(last, bytearray):
                last = self._pieces[-1] = bytearray(last)
            last += data
        else:
            self._pieces.append(data)

    def whole(self) -> bytes:
        """All of it in one piece; nothing is taken out."""
        return b"".join(self._pieces)

    def send(self, local: LocalEnd, valve: Valve | None) -> tuple[int, bool]:
        """Write what a connection takes in one call.

        Args:
            local: Where to.
            valve: A limit on the bandwidth.

        Returns:
            How many bytes it took, and whether it may take more at once.

        Raises:
            BlockingIOError: None, for now; at a limit the valve calls when it is worth another try.
            OSError: None any more.
        """
        pieces = self._pieces
        if valve is not None:
            length = valve.send(local, pieces[0])
        elif len(pieces) > 1:
            length = local.sendmsg(islice(pieces, _BUFFERS_A_SEND))
        else:
            length = local.send(pieces[0])
        left = length
        while left:
            first = pieces.popleft()
            if left < len(first):
                pieces.appendleft(first[left:])
                return length, False
            left -= len(first)
        return length, True
