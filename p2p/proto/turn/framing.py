"""Cutting a byte stream (TCP or TLS) into STUN and ChannelData messages.

Source: RFC 8489 section 6.2.2, RFC 8656 sections 12.4 and 12.5.
"""

from __future__ import annotations

from typing import Final

from p2p.errors import DecodeError
from p2p.proto.stun.message import HEADER_BYTES as STUN_HEADER_BYTES
from p2p.proto.stun.message import MAGIC_COOKIE
from p2p.proto.turn.channel_data import HEADER_BYTES as CHANNEL_HEADER_BYTES

_COOKIE_END: Final = 8


class StreamFramer:
    """Takes bytes in any chunking, gives whole messages in order.

    It holds at most one unfinished message (65,556 bytes) besides what it was just given, as long as messages are
    taken until there are none. What a stream yields does not depend on how it was cut into chunks: the messages
    before the first bad byte, then ``DecodeError``.

    Attributes:
        buffered_bytes: How much waits for the rest of its message, or to be taken.
    """

    __slots__ = ("_buffer", "_error", "_needed")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._needed = CHANNEL_HEADER_BYTES
        self._error: str | None = None

    @property
    def buffered_bytes(self) -> int:
        """How much waits for the rest of its message, or to be taken."""
        return len(self._buffer)

    def receive_data(self, data: bytes | bytearray | memoryview) -> None:
        """Take bytes from the stream; ignored after an error."""
        if self._error is None:
            self._buffer += data

    def next_frame(self) -> bytes | None:
        """Take the next message, without the padding of ChannelData.

        Returns:
            One STUN or ChannelData message, or None when the rest of it has not arrived.

        Raises:
            DecodeError: The stream is neither; it must be closed. Raised again by each further call.
        """
        if self._error is not None:
            raise DecodeError(self._error)
        buffer = self._buffer
        # A message that trickles in byte by byte is looked at only when what is known to be needed is there.
        while len(buffer) >= self._needed:
            needed = self._needed
            size = self._measure()
            if needed == self._needed:
                frame = bytes(memoryview(buffer)[:size])
                del buffer[:needed]
                self._needed = CHANNEL_HEADER_BYTES
                return frame
        return None

    def _measure(self) -> int:
        """Set how many bytes the first message occupies, as far as it can be told; return its size unpadded."""
        buffer = self._buffer
        first = buffer[0]
        length = buffer[2] << 8 | buffer[3]
        if 0x40 <= first <= 0x4F:
            self._needed = CHANNEL_HEADER_BYTES + length + (-length & 3)
            return CHANNEL_HEADER_BYTES + length
        # Source: RFC 7983 section 7, for the numbers that start STUN and ChannelData.
        if first > 3:
            self._fail("neither STUN nor ChannelData on the stream")
        if length & 3:
            self._fail("STUN length that is no multiple of four on the stream")
        if len(buffer) < _COOKIE_END:
            self._needed = _COOKIE_END
            return 0
        if buffer[4:_COOKIE_END] != MAGIC_COOKIE:
            self._fail("STUN without its magic cookie on the stream")
        self._needed = STUN_HEADER_BYTES + length
        return self._needed

    def _fail(self, why: str) -> None:
        self._error = why
        self._buffer.clear()
        raise DecodeError(why)
