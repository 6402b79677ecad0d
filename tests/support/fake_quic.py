"""Two ends of a QUIC connection in memory: streams, resets, limits and delay, without packets or encryption."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from p2p.errors import LocalProtocolError, P2PError, SessionClosedError
from p2p.forward.transport import StreamHandler


class FakeTransport:
    """One end; ``FakeTransport.pair`` makes two.

    Args:
        loop: The event loop.
        is_client: Which stream ids are its own.
        delay_s: How long bytes travel; 0 means the next turn of the loop.
        flight_bytes: How many bytes may be on their way to the other end.
        piece_bytes: The largest piece in which data arrives.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        is_client: bool,
        *,
        delay_s: float = 0.0,
        flight_bytes: int = 1 << 18,
        piece_bytes: int = 1350,
    ) -> None:
        self.loop = loop
        self.handler: StreamHandler | None = None
        self.peer: FakeTransport
        self.delay_s = delay_s
        self.flight_bytes = flight_bytes
        self.piece_bytes = piece_bytes
        self.is_closed = False
        self.close_code: int | None = None
        self.close_reason = ""
        self.resets: list[tuple[int, int]] = []
        self.stops: list[tuple[int, int]] = []
        self.sent_bytes: dict[int, int] = {}
        self.max_unsent = 0
        self.max_datagram_payload = 1170
        self.datagrams_dropped = 0
        self.datagrams: list[bytes] = []
        self.holds_datagrams = False
        self._next_id = 0 if is_client else 1
        self._unsent: dict[int, deque[tuple[bytes, bool]]] = {}
        self._unsent_bytes = 0
        self._in_flight = 0
        self._kicked = False
        self._ended: set[int] = set()

    @classmethod
    def pair(cls, loop: asyncio.AbstractEventLoop, **options: float) -> tuple[FakeTransport, FakeTransport]:
        """Make a client's and a server's end."""
        client, server = cls(loop, True, **options), cls(loop, False, **options)  # type: ignore[arg-type]
        client.peer, server.peer = server, client
        return client, server

    def open_stream(self) -> int:
        """See ``StreamTransport``."""
        self._require_open()
        self._next_id += 4
        return self._next_id - 4

    def send(self, stream_id: int, data: bytes | memoryview, end: bool = False) -> None:
        """See ``StreamTransport``."""
        self._require_open()
        if stream_id in self._ended:
            raise LocalProtocolError(f"stream {stream_id} has ended")
        if end:
            self._ended.add(stream_id)
        self._unsent.setdefault(stream_id, deque()).append((bytes(data), end))
        self._unsent_bytes += len(data)
        self.max_unsent = max(self.max_unsent, self._unsent_bytes)
        self.kick()

    def send_datagram(self, data: bytes) -> None:
        """See ``StreamTransport``; it travels beside the streams and may overtake them."""
        self._require_open()
        if len(data) > self.max_datagram_payload:
            raise LocalProtocolError("the datagram is too large")
        self.datagrams.append(data)
        if not self.holds_datagrams:
            self._later(lambda handler: handler.datagram_received(data))

    def reset(self, stream_id: int, code: int) -> None:
        """See ``StreamTransport``."""
        if self.is_closed:
            return
        self.resets.append((stream_id, code))
        self._ended.add(stream_id)
        for data, _ in self._unsent.pop(stream_id, ()):
            self._unsent_bytes -= len(data)
        self._later(lambda handler: handler.stream_reset(stream_id, code))

    def stop(self, stream_id: int, code: int) -> None:
        """See ``StreamTransport``."""
        if not self.is_closed:
            self.stops.append((stream_id, code))
            self._later(lambda handler: handler.sending_stopped(stream_id, code))

    def unsent_bytes(self) -> int:
        """See ``StreamTransport``."""
        return self._unsent_bytes

    def kick(self) -> None:
        """See ``StreamTransport``."""
        if not self._kicked:
            self._kicked = True
            self.loop.call_soon(self._transmit)

    def close(self, code: int = 0, reason: str = "") -> None:
        """See ``StreamTransport``; what is queued goes first, as a real connection does when it can."""
        if self.is_closed:
            return
        self._drain_queues(limit=1 << 30)
        self.is_closed = True
        self.close_code, self.close_reason = code, reason
        error = SessionClosedError(f"closed: {reason}")
        self.loop.call_soon(self._lost, error)
        self._at_peer(lambda: self.peer.lose(error))

    def lose(self, error: P2PError) -> None:
        """End the connection on this side, as an idle timeout does."""
        if not self.is_closed:
            self.is_closed = True
            self._lost(error)

    def complete_handshake(self) -> None:
        """Tell the handler that the connection is up."""
        assert self.handler is not None
        self.handler.handshake_completed()

    def deliver(self, stream_id: int, data: bytes, end: bool = False) -> None:
        """Have this end's handler hear bytes that nobody sent."""
        assert self.handler is not None
        self.handler.stream_data_received(stream_id, data, end)

    # --- inside ------------------------------------------------------------------------------------------------

    def _require_open(self) -> None:
        if self.is_closed:
            raise LocalProtocolError("the connection is closed")

    def _lost(self, error: P2PError) -> None:
        if self.handler is not None:
            self.handler.connection_lost(error)

    def _transmit(self) -> None:
        self._kicked = False
        if self.is_closed:
            return
        while True:
            self._drain_queues(self.flight_bytes)
            if self._in_flight >= self.flight_bytes or self.handler is None or not self.handler.writable():
                return

    def _drain_queues(self, limit: int) -> None:
        """Send round robin, a piece of each stream in turn, as engines do."""
        while self._unsent and self._in_flight < limit:
            stream_id = next(iter(self._unsent))
            queue = self._unsent.pop(stream_id)
            data, end = queue.popleft()
            piece, rest = data[: self.piece_bytes], data[self.piece_bytes :]
            if rest:
                queue.appendleft((rest, end))
                end = False
            if queue:
                self._unsent[stream_id] = queue
            self._unsent_bytes -= len(piece)
            self._in_flight += len(piece)
            self.sent_bytes[stream_id] = self.sent_bytes.get(stream_id, 0) + len(piece)
            self._at_peer(lambda s=stream_id, p=piece, e=end: self._arrive(s, p, e))  # type: ignore[misc]

    def _arrive(self, stream_id: int, piece: bytes, end: bool) -> None:
        self._in_flight -= len(piece)
        peer = self.peer
        if not peer.is_closed and peer.handler is not None:
            peer.handler.stream_data_received(stream_id, piece, end)
        if self._unsent or self._in_flight <= self.flight_bytes // 2:
            self.kick()

    def _later(self, news: Callable[[StreamHandler], None]) -> None:
        def tell() -> None:
            if not self.peer.is_closed and self.peer.handler is not None:
                news(self.peer.handler)

        self._at_peer(tell)

    def _at_peer(self, call: Callable[[], object]) -> None:
        if self.delay_s:
            self.loop.call_later(self.delay_s, call)
        else:
            self.loop.call_soon(call)
