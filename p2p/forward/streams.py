"""Which stream ids of the other side are new, and which belong to flows that have ended."""

from __future__ import annotations

from p2p.errors import RemoteProtocolError
from p2p.proto.tunnel.control import Role

_STRIDE = 4


class PeerStreams:
    """Tells new streams from late news about old ones, though the first bytes of streams arrive in any order.

    Args:
        role: Our role; the other side's bidirectional ids follow from it. Source: RFC 9000 section 2.1.
        max_gap: How many ids the other side may skip; it can have no more streams open than that.
    """

    __slots__ = ("_first", "_max_gap", "_next", "_skipped")

    def __init__(self, role: Role, max_gap: int) -> None:
        self._first = 0 if role is Role.EXPOSER else 1
        self._next = _STRIDE + self._first if role is Role.EXPOSER else self._first
        self._skipped: set[int] = set()
        self._max_gap = max_gap

    def is_unseen(self, stream_id: int) -> bool:
        """Tell whether this is a stream of the other side of which nothing has been heard; nothing is remembered."""
        return stream_id % _STRIDE == self._first and (stream_id >= self._next or stream_id in self._skipped)

    def is_new(self, stream_id: int) -> bool:
        """Tell whether this is the first news of a stream that the other side opened, and remember it.

        Args:
            stream_id: Any stream id.

        Returns:
            False for old streams, for streams of ours, and for unidirectional ones.

        Raises:
            RemoteProtocolError: The other side skipped more ids than it can have streams.
        """
        if stream_id % _STRIDE != self._first:
            return False
        if stream_id < self._next:
            if stream_id not in self._skipped:
                return False
            self._skipped.remove(stream_id)
            return True
        skipped = range(self._next, stream_id, _STRIDE)
        if len(skipped) + len(self._skipped) > self._max_gap:
            raise RemoteProtocolError(f"stream {stream_id} opened while {self._next} is the next")
        self._skipped.update(skipped)
        self._next = stream_id + _STRIDE
        return True
