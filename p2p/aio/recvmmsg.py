"""``recvmmsg`` by ctypes: many datagrams, or buffers of joined datagrams, in one system call.

Layout: the kernel fills an array of ``struct mmsghdr``. All of its parts lie in buffers of ours, and fields are read by
strided slices of typed views, a whole batch at a time: no Python object for each message but its numbers.
"""

from __future__ import annotations

import ctypes
import errno
import sys
from collections.abc import Callable
from typing import Final

NAME_BYTES: Final = 32
"""Room for one source address: ``sockaddr_in6`` has 28, and whole words are easier to step over."""

_MSG_DONTWAIT: Final = 0x40
_CONTROL_BYTES: Final = 24
"""One control message with an int: a header of 16, the int, padding."""


class _IoVector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _MessageHeader(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("vectors", ctypes.c_void_p),
        ("vector_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Entry(ctypes.Structure):
    _fields_ = (("header", _MessageHeader), ("length", ctypes.c_uint32))


_ENTRY_BYTES: Final = 64
_LENGTH_WORD: Final = 14
"""Where ``length`` is in an entry, in 32-bit words."""
_CONTROL_LENGTH_WORD: Final = 5
"""Where ``control_length`` is in an entry, in 64-bit words."""
_GRO_WORD: Final = 4
"""Where the int of a control message is, in 32-bit words."""

_Function = Callable[[int, int, int, int, None], int]


def find() -> _Function | None:
    """Return the system's ``recvmmsg``, or None where there is none that this module knows the layout of."""
    if sys.platform != "linux" or ctypes.sizeof(_Entry) != _ENTRY_BYTES:
        return None
    function = getattr(ctypes.CDLL(None, use_errno=True), "recvmmsg", None)
    if function is None:
        return None
    function.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p)
    function.restype = ctypes.c_int
    found: _Function = function
    return found


class MessageArray:
    """The array that ``recvmmsg`` fills, over slots of one buffer.

    Args:
        function: What ``find`` returned.
        data: The slots, one after the other; must live as long as this object.
        slots: How many there are.
        slot_bytes: Size of each.
    """

    def __init__(self, function: _Function, data: bytearray, slots: int, slot_bytes: int) -> None:
        self._function = function
        self.names = bytearray(slots * NAME_BYTES)
        controls = bytearray(slots * _CONTROL_BYTES)
        entries = bytearray(slots * _ENTRY_BYTES)
        vectors = (_IoVector * slots)()
        base, names, control = _address_of(data), _address_of(self.names), _address_of(controls)
        for slot in range(slots):
            vectors[slot] = _IoVector(base + slot * slot_bytes, slot_bytes)
            header = _MessageHeader(
                names + slot * NAME_BYTES,
                NAME_BYTES,
                ctypes.addressof(vectors) + slot * ctypes.sizeof(_IoVector),
                1,
                control + slot * _CONTROL_BYTES,
                _CONTROL_BYTES,
                0,
            )
            entries[slot * _ENTRY_BYTES : (slot + 1) * _ENTRY_BYTES] = bytes(_Entry(header, 0))
        self._vectors = vectors  # the entries point there
        self._entries_at = _address_of(entries)
        self._entries = memoryview(entries)
        self._pristine = memoryview(bytes(entries))
        self._words = self._entries.cast("I")
        self._long_words = self._entries.cast("Q")
        self._control_words = memoryview(controls).cast("I")

    def receive(self, descriptor: int, limit: int) -> tuple[list[int], list[int] | None] | None:
        """Receive what is there, without waiting.

        Args:
            descriptor: A UDP socket.
            limit: How many messages at most.

        Returns:
            The length of each message and, if the kernel joined datagrams in any of them, the size of its segments (0
            where it did not); None when nothing was there.

        Raises:
            OSError: The socket had an error pending, which is taken off by that.
        """
        count = self._function(descriptor, self._entries_at, limit, _MSG_DONTWAIT, None)
        if count <= 0:
            code = ctypes.get_errno()
            if count == 0 or code in (errno.EAGAIN, errno.EINTR):
                return None
            raise OSError(code, "recvmmsg")
        words = self._words
        lengths = words[_LENGTH_WORD : _LENGTH_WORD + 16 * count : 16].tolist()
        has_control = self._long_words[_CONTROL_LENGTH_WORD : _CONTROL_LENGTH_WORD + 8 * count : 8].tolist()
        sizes: list[int] | None = None
        if any(has_control):
            # A message without a control message leaves the size of an earlier one in its place.
            found = self._control_words[_GRO_WORD : _GRO_WORD + 6 * count : 6].tolist()
            sizes = [size if has else 0 for has, size in zip(has_control, found, strict=True)]
        # The kernel has overwritten the lengths of names and control data, which are what it may use next time.
        end = count * _ENTRY_BYTES
        self._entries[:end] = self._pristine[:end]
        return lengths, sizes


def _address_of(buffer: bytearray) -> int:
    return ctypes.addressof((ctypes.c_char * len(buffer)).from_buffer(buffer))
