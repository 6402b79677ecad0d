"""What streams have to send, held back until the congestion window takes it."""

from __future__ import annotations

import logging
from typing import Any, Final

from p2p.errors import LocalProtocolError

logger = logging.getLogger(__name__)

FRAME_ROOM_BYTES: Final = 64
"""What the core keeps free in a packet that holds a single frame of a stream."""
SPARE_SHARE: Final = 8
"""What a stream that is alone is fed beyond the window: an eighth of it, which who comes next has to wait for."""


class _Waiting:
    """What one stream has to send."""

    __slots__ = ("data", "end")

    def __init__(self) -> None:
        self.data = bytearray()
        self.end = False


class StreamFeed:
    """Gives qh3's core no more of the streams' bytes than the congestion window takes at once.

    The core builds the frames of up to 16 streams before it looks whether more than one packet may leave. Those that
    may not, wait; and while frames wait no acknowledgement leaves. Two ends that both have much to send on many streams
    then wait for each other until a probe timeout, each longer than the one before.

    Args:
        quic: The library's connection.
        packet_bytes: The size of a full packet at first.
    """

    __slots__ = ("_given", "_given_packets", "_packet_bytes", "_quic", "_waiting", "waiting_bytes")

    def __init__(self, quic: Any, packet_bytes: int) -> None:
        self.waiting_bytes = 0
        self._quic = quic
        self._packet_bytes = packet_bytes
        self._waiting: dict[int, _Waiting] = {}
        self._given: dict[int, int] = {}
        self._given_packets = 0

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def send(self, stream_id: int, data: bytes | memoryview, end: bool, room_bytes: int) -> None:
        """Queue bytes on a stream.

        Args:
            stream_id: A stream of the connection.
            data: Copied.
            end: Whether nothing follows on the stream.
            room_bytes: What may be in flight beside what is.

        Raises:
            Exception: The library's own, if the stream takes no more data.
        """
        if not self._waiting:
            given = self._given.get(stream_id, 0)
            packets = self._given_packets + self._packets(given + len(data)) - self._packets(given)
            if packets <= room_bytes // self._packet_bytes:
                self._quic.send_stream_data(stream_id, data, end)
                self._given[stream_id] = given + len(data)
                self._given_packets = packets
                return
        waiting = self._waiting.get(stream_id)
        if waiting is None:
            self._quic.send_stream_data(stream_id, b"")  # it may refuse
            waiting = self._waiting[stream_id] = _Waiting()
        elif waiting.end:
            raise LocalProtocolError(f"stream {stream_id} has ended")
        waiting.data += data
        waiting.end = end
        self.waiting_bytes += len(data)

    def feed(self, room_bytes: int, window_bytes: int, packet_bytes: int) -> bool:
        """Give the core as much as may leave now, a piece of each stream in turn.

        Args:
            room_bytes: What may be in flight beside what is.
            window_bytes: What may be in flight in all.
            packet_bytes: The size of a full packet now.

        Returns:
            Whether anything was.
        """
        self._packet_bytes = packet_bytes
        room = room_bytes // packet_bytes - self._given_packets
        if self._is_for_one():
            # It cannot be in its own way. With some in hand it need not be fed for every packet that is acknowledged.
            spare = window_bytes // SPARE_SHARE // packet_bytes
            room = 0 if self._given_packets > spare // 2 else room + spare
        if room_bytes >= window_bytes:  # nothing is in flight that would be acknowledged
            room = max(room, 1)
        has_fed = False
        while room > 0 and self._waiting:
            stream_id, waiting = next(iter(self._waiting.items()))
            del self._waiting[stream_id]
            piece = waiting.data[: room * (packet_bytes - FRAME_ROOM_BYTES)]
            self.waiting_bytes -= len(piece)
            is_whole = len(piece) == len(waiting.data)
            try:
                self._quic.send_stream_data(stream_id, piece, waiting.end and is_whole)
            except Exception as error:  # the peer wants no more of it
                logger.debug("stream %d takes no more data: %r", stream_id, error)
                self.waiting_bytes -= len(waiting.data) - len(piece)
                continue
            has_fed = True
            self._given[stream_id] = self._given.get(stream_id, 0) + len(piece)
            packets = self._packets(len(piece)) or 1
            room -= packets
            self._given_packets += packets
            if not is_whole:
                del waiting.data[: len(piece)]
                self._waiting[stream_id] = waiting
        return has_fed

    def unsent_bytes(self, stream_id: int | None) -> int:
        """How many bytes of a stream, or of all, wait here."""
        if stream_id is None:
            return self.waiting_bytes
        waiting = self._waiting.get(stream_id)
        return 0 if waiting is None else len(waiting.data)

    def forget(self, stream_id: int) -> None:
        """Drop what a stream has waiting."""
        waiting = self._waiting.pop(stream_id, None)
        if waiting is not None:
            self.waiting_bytes -= len(waiting.data)

    def sent(self) -> None:
        """The core has sent what it could: count anew what it still has."""
        if not self._given:
            return
        unsent_bytes = self._quic._core.get_send_buffer_size
        self._given_packets = 0
        for stream_id in tuple(self._given):
            if unsent := unsent_bytes(stream_id):
                self._given[stream_id] = unsent
                self._given_packets += self._packets(unsent)
            else:
                del self._given[stream_id]

    def _is_for_one(self) -> bool:
        if len(self._waiting) != 1:
            return False
        (stream_id,) = self._waiting
        return not self._given or (len(self._given) == 1 and stream_id in self._given)

    def _packets(self, length: int) -> int:
        return -(-length // (self._packet_bytes - FRAME_ROOM_BYTES))
