"""One forwarded source of datagrams: a local socket here, QUIC datagrams there, and a stream for what is too large."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from p2p import defaults
from p2p.errors import ForwardError
from p2p.forward.counters import FlowSnapshot
from p2p.forward.credit import ReceiveWindow
from p2p.forward.owner import FlowOwner
from p2p.forward.throttle import ServiceThrottles, Throttle
from p2p.proto.tunnel.codes import StreamCode
from p2p.proto.tunnel.datagrams import DatagramReader, TrainBuilder, frame_datagram
from p2p.proto.tunnel.header import StreamHeader, encode_header


class DatagramPort(Protocol):
    """The local end of a flow of datagrams."""

    @property
    def dropped(self) -> int:
        """Datagrams of the local program that the kernel had no room for."""
        ...

    def send(self, datagrams: Sequence[bytes]) -> int:
        """Send what came from the other side; returns how many the local socket took."""
        ...

    def close(self, *, reset: bool) -> None:
        """The flow is over; ``reset`` if it was given up rather than ended."""
        ...


class DatagramOwner(FlowOwner, Protocol):
    """What a flow of datagrams needs around it."""

    def used(self, flow: DatagramFlow) -> None:
        """Datagrams went either way: the flow is not idle."""
        ...

    def datagrams_failed(self, error: ForwardError) -> None:
        """The service cannot be reached, though it might be later."""
        ...


class DatagramFlow:
    """The datagrams of one local source.

    Its stream begins with the header, carries datagrams that no QUIC datagram can, and its end is the flow's end. So
    opening costs no round trip, refusals are told like those of connections, and nothing is lost for its size.

    Datagrams are dropped, and counted, where something is full: what is old goes first.

    Args:
        owner: The table it is in.
        stream_id: Its QUIC stream.
        header: What the opener says about it.
        port: The local end; None while it is being made.
        window: What the stream was allowed and has brought; None for a stream of ours.
    """

    __slots__ = (
        "_arrived",
        "_backlog",
        "_backlog_bytes",
        "_begun",
        "_builder",
        "_bytes_in",
        "_bytes_out",
        "_cancel_dial",
        "_final_offset",
        "_in_ended",
        "_inwards",
        "_is_due",
        "_is_new",
        "_is_watched",
        "_out_ended",
        "_outwards",
        "_owner",
        "_port",
        "_reader",
        "_window",
        "closed",
        "deficit",
        "dropped",
        "header",
        "opened_at",
        "parked",
        "send_limit",
        "sent",
        "stream_id",
    )

    def __init__(
        self,
        owner: DatagramOwner,
        stream_id: int,
        header: StreamHeader,
        port: DatagramPort | None,
        window: ReceiveWindow | None = None,
    ) -> None:
        self._owner = owner
        self._port = port
        self._window = window or ReceiveWindow(owner.pool)
        self._builder = TrainBuilder(stream_id)
        self._reader = DatagramReader()
        self._arrived: list[bytes] = []
        self._backlog: deque[bytes] = deque()
        self._backlog_bytes = 0
        self._begun = b""
        self._bytes_in = self._bytes_out = 0
        self._in_ended = self._out_ended = False
        self._final_offset: int | None = None
        self._inwards: Throttle | None = None
        self._outwards: Throttle | None = None
        self._is_due = False
        self._is_new = False
        self._is_watched = True
        self._cancel_dial: Callable[[], None] | None = None
        self.stream_id = stream_id
        self.header = header
        self.opened_at = owner.loop.time()
        self.closed = False
        self.dropped = 0
        self.deficit = 0
        self.parked = False
        self.sent = 0
        self.send_limit = defaults.TUNNEL_INITIAL_CREDIT_BYTES

    def open(self) -> None:
        """Begin the stream of a flow of ours."""
        encoded = encode_header(self.header)
        self._owner.transport.send(self.stream_id, encoded)
        self.sent = len(encoded)
        self._is_new = True

    def dialling(self, cancel: Callable[[], None]) -> None:
        """Take note of how to give up the local end that is being made."""
        if self._port is None and not self.closed:
            self._cancel_dial = cancel

    def throttle(self, throttles: ServiceThrottles) -> None:
        """Drop from now on what exceeds these limits."""
        self._inwards, self._outwards = throttles

    def connected(self, port: DatagramPort) -> None:
        """Take the local end that was made for a flow of the other side."""
        self._cancel_dial = None
        if self._out_ended:
            port.close(reset=True)
            return
        self._port = port
        self.deliver()

    def unreachable(self, error: ForwardError) -> None:
        """The local end hears that nobody takes its datagrams; the flow goes on, for somebody may later."""
        self._owner.datagrams_failed(error)

    # --- out: local socket to QUIC -----------------------------------------------------------------------------

    def push(self, buffer: bytes, size: int) -> None:
        """Take datagrams that the local socket received; ``flush`` must follow.

        Args:
            buffer: One or more of ``size`` bytes, the last possibly shorter.
            size: 0 only for one empty datagram.
        """
        if self._outwards is not None and (passed := self._outwards.take(len(buffer), size)) < len(buffer):
            self.dropped += -(-(len(buffer) - passed) // size)
            if not (buffer := buffer[:passed]):
                return
        self._builder.add(buffer, size)
        self._bytes_out += len(buffer)

    def flush(self) -> None:
        """Send what was pushed."""
        transport = self._owner.transport
        # What comes first follows the header on the stream: QUIC datagrams would overtake it, a crowd of new flows more
        # of them than the other side holds.
        packed, large = self._builder.take(0 if self._is_new else transport.max_datagram_payload)
        self._is_new = False
        if self._out_ended or transport.is_closed:
            return
        for payload in packed:
            transport.send_datagram(payload)
        if large:
            self._queue(large)
        self._owner.used(self)

    def _queue(self, datagrams: Sequence[bytes]) -> None:
        for datagram in datagrams:
            self._backlog.append(framed := frame_datagram(datagram))
            self._backlog_bytes += len(framed)
        while self._backlog_bytes > defaults.FORWARD_UDP_BACKLOG_BYTES and len(self._backlog) > 1:
            self._backlog_bytes -= len(self._backlog.popleft())
            self.dropped += 1
        if self.parked and self.can_feed:
            self._owner.feeder.resume(self)
        elif self._is_watched:
            self._owner.feeder.ready(self)

    @property
    def can_feed(self) -> bool:
        """See ``Feedable``."""
        return not self._out_ended and self.sent < self.send_limit

    def feed(self, limit: int) -> int:
        """Move up to ``limit`` bytes of what is too large for QUIC datagrams onto the stream; see ``Feedable``."""
        moved = 0
        while moved < limit and self.can_feed:
            if not self._begun:
                if not self._backlog:
                    break
                self._begun = self._backlog.popleft()
                self._backlog_bytes -= len(self._begun)
            piece = self._begun[: min(limit - moved, self.send_limit - self.sent)]
            self._owner.transport.send(self.stream_id, piece)
            self._begun = self._begun[len(piece) :]
            self.sent += len(piece)
            moved += len(piece)
        return moved

    def watch(self, enabled: bool) -> None:
        """See ``Feedable``: what is too large tells the feeder itself."""
        self._is_watched = enabled

    def credit_received(self, max_offset: int) -> None:
        """The other side allows more on the stream."""
        self.send_limit = max(self.send_limit, max_offset)
        if self.parked and self.can_feed:
            self._owner.feeder.resume(self)

    # --- in: QUIC to local socket ------------------------------------------------------------------------------

    def arrived(self, datagrams: list[bytes]) -> None:
        """Take datagrams of the other side; they are sent together with those that follow closely."""
        if self._out_ended:
            self.dropped += len(datagrams)
            return
        self._arrived += datagrams
        if self._port is None:
            excess = len(self._arrived) - defaults.FORWARD_UDP_HELD
            if excess > 0:
                del self._arrived[:excess]
                self.dropped += excess
        elif not self._is_due:
            self._is_due = True
            self._owner.deliver_soon(self)

    def deliver(self) -> None:
        """Send what has arrived to the local socket."""
        self._is_due = False
        if self._port is None or self._out_ended or not self._arrived:
            return
        arrived, self._arrived = self._arrived, []
        if self._inwards is not None:
            passed = [one for one in arrived if self._inwards.take(len(one), len(one)) == len(one)]
            self.dropped += len(arrived) - len(passed)
            arrived = passed
        taken = self._port.send(arrived)
        self.dropped += len(arrived) - taken
        self._bytes_in += sum(map(len, arrived))
        self._owner.used(self)

    def receive(self, data: bytes, end: bool) -> None:
        """Take the next bytes of the stream."""
        if not self._window.receive(len(data)):
            self._owner.credit_exceeded(self)
        elif not self.closed:
            self.read(data, end or self._window.received == self._final_offset)

    def read(self, data: bytes, end: bool) -> None:
        """Take bytes of the stream that are counted as received already."""
        if data:
            offset = self._window.consume(len(data), _nothing)
            if offset is not None and not end:
                self._owner.grant(self.stream_id, offset)
            if datagrams := self._reader.feed(data):
                self.arrived(datagrams)
        if end and not self._in_ended:
            self._in_ended = True
            self.dropped += not self._reader.is_between_datagrams
            self.deliver()
            self.end()
            self._finish_if_over()

    def end_announced(self, final_offset: int) -> None:
        """The stream ends behind so many bytes, whether its own end arrives or not."""
        self._final_offset = final_offset
        if self._window.received == final_offset and not self.closed:
            self.read(b"", True)

    def sending_stopped(self) -> None:
        """The other side wants no more."""
        self.abort(StreamCode.ABORTED)

    def stream_reset(self) -> None:
        """The other side gave the flow up."""
        self.abort(StreamCode.ABORTED)

    # --- end ---------------------------------------------------------------------------------------------------

    def end(self) -> None:
        """End the flow on this side; it is over when the other side has ended it, too."""
        if self._out_ended:
            return
        self._stop(reset=False)
        self._owner.transport.send(self.stream_id, b"", True)
        self._owner.announce_end(self.stream_id, self.sent)
        self._owner.transport.kick()
        self._finish_if_over()

    def abort(self, code: StreamCode) -> None:
        """Give the flow up on both sides.

        Args:
            code: Why; the other side may show it.
        """
        if self.closed:
            return
        transport = self._owner.transport
        if not self._out_ended:
            transport.reset(self.stream_id, code)
        if not self._in_ended:
            transport.stop(self.stream_id, code)
        transport.kick()
        self.close(reset=True)

    def close(self, *, reset: bool) -> None:
        """Close the local end without a word to the other side, which knows or is gone."""
        if self.closed:
            return
        self.closed = self._in_ended = True
        if not self._out_ended:
            self._stop(reset=reset)
        self._window.close()
        self._owner.ended(self, reset=reset)

    def _stop(self, *, reset: bool) -> None:
        self._out_ended = True
        self.dropped += len(self._backlog) + bool(self._begun) + len(self._arrived)
        self._backlog.clear()
        self._begun = b""
        self._arrived.clear()
        if self._cancel_dial is not None:
            self._cancel_dial()
            self._cancel_dial = None
        if self._port is not None:
            port, self._port = self._port, None
            self.dropped += port.dropped
            port.close(reset=reset)

    def _finish_if_over(self) -> None:
        if self._out_ended and self._in_ended:
            self.close(reset=False)

    # --- status ------------------------------------------------------------------------------------------------

    def snapshot(self) -> FlowSnapshot:
        """The flow's figures now."""
        return FlowSnapshot(
            stream_id=self.stream_id,
            service=self.header.service,
            origin=self.header.origin,
            opened_at=self.opened_at,
            bytes_out=self._bytes_out,
            bytes_in=self._bytes_in,
            held_bytes=sum(map(len, self._arrived)),
            connected=self._port is not None,
            datagrams_dropped=self.dropped + (0 if self._port is None else self._port.dropped),
        )


def _nothing() -> int:
    """What a socket for datagrams absorbs of a stream."""
    return 0
