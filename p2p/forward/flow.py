"""One forwarded connection: a local end here, a QUIC stream there, and nothing between but what cannot be helped."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from p2p import defaults
from p2p.errors import DecodeError
from p2p.forward.counters import FlowSnapshot
from p2p.forward.credit import ReceiveWindow
from p2p.forward.local_end import LocalEnd
from p2p.forward.owner import FlowOwner
from p2p.forward.pending import PendingBytes
from p2p.forward.throttle import ServiceThrottles, Valve
from p2p.proto.tunnel.codes import StreamCode
from p2p.proto.tunnel.header import StreamHeader, decode_header_untrusted, encode_header, header_length_untrusted


class Flow:
    """One forwarded connection.

    Two directions end independently: *out* (local connection to QUIC) and *in* (QUIC to local connection). The flow is
    over when both have ended, or at once by a reset from either side.

    A local connection that takes no more bytes ends *in* by STOP_SENDING, while *out* goes on to its end: a server
    that answers early and closes must still be heard. The other side resets its connection behind that answer.

    The end of *out* is told on the control stream as well: one QUIC library takes an end for delivered that was lost
    together with needless repetitions of the data before it, as happens when a session changes its path under load.

    Args:
        owner: The multiplexer.
        stream_id: The QUIC stream.
        local: The local connection; None for a flow that the other side opened.
        header: What is known about the flow; None until it has arrived.
    """

    __slots__ = (
        "_cancel_dial",
        "_cut",
        "_delivery_due",
        "_final_offset",
        "_in_ended",
        "_local",
        "_out_ended",
        "_overhead_in",
        "_overhead_out",
        "_owner",
        "_pending",
        "_reading",
        "_stream_ended",
        "_valve_in",
        "_valve_out",
        "_window",
        "_writing",
        "closed",
        "deficit",
        "header",
        "opened_at",
        "parked",
        "send_limit",
        "sent",
        "stream_id",
    )

    def __init__(self, owner: FlowOwner, stream_id: int, local: LocalEnd | None, header: StreamHeader | None) -> None:
        self._owner = owner
        self._local = local
        self._window = ReceiveWindow(owner.pool)
        self._pending: PendingBytes | None = None
        self._overhead_out = 0
        self._overhead_in = 0
        self._reading = False
        self._writing = False
        self._out_ended = False
        self._stream_ended = False
        self._in_ended = False
        self._cut = False
        self._delivery_due = False
        self._final_offset: int | None = None
        self._valve_in: Valve | None = None
        self._valve_out: Valve | None = None
        self.stream_id = stream_id
        self.header = header
        self.opened_at = owner.loop.time()
        self._cancel_dial: Callable[[], None] | None = None
        self.closed = False
        self.deficit = 0
        self.parked = False
        self.sent = 0
        self.send_limit = defaults.TUNNEL_INITIAL_CREDIT_BYTES

    # --- opening -----------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Begin the stream of a flow of ours with its header and whatever the local connection has said already."""
        assert self.header is not None
        encoded = encode_header(self.header)
        self._owner.transport.send(self.stream_id, encoded)
        self.sent = self._overhead_out = len(encoded)
        self.watch(True)
        self._owner.feeder.ready(self)

    def dialling(self, cancel: Callable[[], None]) -> None:
        """Take note of how to give up the connection that is being made for a flow of the other side."""
        if self._local is None and not self.closed:
            self._cancel_dial = cancel

    def throttle(self, throttles: ServiceThrottles) -> None:
        """Pass bytes through these limits from now on."""
        inwards, outwards = throttles
        self._valve_in = None if inwards is None else inwards.valve(self.deliver)
        self._valve_out = None if outwards is None else outwards.valve(self._resume)

    def connected(self, local: LocalEnd) -> None:
        """Take the local connection that was made for a flow of the other side; the flow owns it from here on."""
        self._cancel_dial = None
        if self.closed:
            local.drop(reset=True)
            return
        self._local = local
        if not self._out_ended:
            self.watch(True)
        self._flush()

    def hand_over(self) -> tuple[ReceiveWindow, bytes, bool, int | None]:
        """Give the stream to a flow of another kind; this one is over without a word.

        Returns:
            What the stream was allowed, the bytes behind its header that have arrived, whether it has ended, and
            where it will, if that was announced.
        """
        self.closed = self._out_ended = self._in_ended = True
        pending, self._pending = self._pending, None
        return self._window, b"" if pending is None else pending.whole(), self._stream_ended, self._final_offset

    # --- out: local connection to QUIC -------------------------------------------------------------------------

    @property
    def can_feed(self) -> bool:
        """Whether *out* is open, has credit, and does not wait for its turn at a bandwidth limit."""
        is_throttled = self._valve_out is not None and self._valve_out.is_waiting
        return not (self._out_ended or is_throttled) and self.sent < self.send_limit

    def feed(self, limit: int) -> int:
        """Move up to ``limit`` bytes from the local connection into QUIC; see ``Feedable``."""
        local = self._local
        room = self.send_limit - self.sent
        if local is None or self._out_ended or room <= 0:
            return 0
        owner = self._owner
        buffer = owner.read_buffer
        limit = min(limit, room)
        try:
            valve = self._valve_out
            length = local.recv_into(buffer, limit) if valve is None else valve.receive_into(local, buffer, limit)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError:
            self._fail_out()
            return 0
        if length == 0:
            self._end_out()
            return 0
        owner.transport.send(self.stream_id, buffer[:length])
        self.sent += length
        return length

    def watch(self, enabled: bool) -> None:
        """Have, or stop having, the feeder told when the local connection is readable."""
        if enabled == self._reading or self._local is None:
            return
        self._reading = enabled
        self._local.on_readable(self._readable if enabled else None)

    def _readable(self) -> None:
        self._owner.feeder.ready(self)

    def credit_received(self, max_offset: int) -> None:
        """The other side allows more; a lower offset is old news."""
        self.send_limit = max(self.send_limit, max_offset)
        self._resume()

    def _resume(self) -> None:
        if self.parked and self.can_feed:
            self._owner.feeder.resume(self)

    def sending_stopped(self) -> None:
        """The other side takes no more: what it has to say is delivered, then the local connection is reset."""
        self._cut = True
        if not self._out_ended:
            self._out_ended = True
            self._owner.transport.reset(self.stream_id, StreamCode.ABORTED)
            self._owner.transport.kick()
            self.watch(False)
        self._finish_if_over()

    def _end_out(self) -> None:
        self._out_ended = True
        self.watch(False)
        self._owner.transport.send(self.stream_id, b"", True)
        self._owner.announce_end(self.stream_id, self.sent)
        self._owner.transport.kick()
        self._finish_if_over()

    def _fail_out(self) -> None:
        if self._in_ended and self._cut:
            self._end_out()  # STOP_SENDING has told of the reset; an end keeps what was read before it
        else:
            self.abort(StreamCode.ABORTED)

    # --- in: QUIC to local connection --------------------------------------------------------------------------

    def receive(self, data: bytes, end: bool) -> None:
        """Take the next bytes of the stream; they are written together with those that follow closely."""
        if not self._window.receive(len(data)):
            self._owner.credit_exceeded(self)
            return
        self._stream_ended = self._stream_ended or end or self._window.received == self._final_offset
        if self._in_ended:
            return  # sent before our STOP_SENDING was heard
        if data:
            if self._pending is None:
                self._pending = PendingBytes()
            self._pending.add(data)
        if self.header is None:
            self._take_header()
        elif self._local is not None and not (self._writing or self._delivery_due):
            self._delivery_due = True
            self._owner.deliver_soon(self)

    def end_announced(self, final_offset: int) -> None:
        """The stream ends behind so many bytes, whether its own end arrives or not."""
        self._final_offset = final_offset
        if self._window.received == final_offset and not self._stream_ended:
            self.receive(b"", True)

    def deliver(self) -> None:
        """Write what has arrived to the local connection, as far as it takes it."""
        self._delivery_due = False
        if not (self.closed or self._in_ended or self._writing):
            self._flush()

    def stream_reset(self) -> None:
        """The other side's connection was reset, or it could not make one: so is ours."""
        if not self._in_ended:  # else it is the answer to our STOP_SENDING
            self.abort(StreamCode.ABORTED)

    def _take_header(self) -> None:
        data = b"" if self._pending is None else self._pending.whole()
        try:
            length = header_length_untrusted(data)
            if length is not None and length <= len(data):
                self.header = decode_header_untrusted(data[:length])
        except DecodeError:
            self.abort(StreamCode.HEADER_INVALID)
            return
        if self.header is None or length is None:
            if self._stream_ended:
                self.abort(StreamCode.HEADER_INVALID)
            return
        self._overhead_in = length
        self._window.consume(length, self._absorbable)
        self._pending = None
        if len(data) > length:
            self._pending = PendingBytes()
            self._pending.add(data[length:])
        self._owner.header_received(self)

    def _flush(self) -> None:
        local, pending = self._local, self._pending
        assert local is not None
        try:
            while pending:
                length, takes_more = pending.send(local, self._valve_in)
                self._consume(length)
                if not takes_more:
                    raise BlockingIOError
        except (BlockingIOError, InterruptedError):
            # At a bandwidth limit the socket has room all the time: `deliver` follows when it is our turn.
            self._watch_writable(self._valve_in is None or not self._valve_in.is_waiting)
            return
        except OSError:
            self._fail_in()
            return
        self._pending = None
        self._watch_writable(False)
        if self._stream_ended:
            self._end_in()

    def _consume(self, length: int) -> None:
        offset = self._window.consume(length, self._absorbable)
        if offset is not None and not self._stream_ended:
            self._owner.grant(self.stream_id, offset)

    def _absorbable(self) -> int:
        return 0 if self._local is None else self._local.absorbable_bytes()

    def _watch_writable(self, enabled: bool) -> None:
        if enabled == self._writing or self._local is None:
            return
        self._writing = enabled
        self._local.on_writable(self._flush if enabled else None)

    def _end_in(self) -> None:
        self._in_ended = True
        if not self._cut and self._local is not None:
            with contextlib.suppress(OSError):  # it was reset meanwhile: reading from it will tell
                self._local.end()
        self._finish_if_over()

    def _fail_in(self) -> None:
        if self._stream_ended:
            self.abort(StreamCode.ABORTED)  # too late for STOP_SENDING to tell the other side
            return
        self._in_ended = self._cut = True
        self._pending = None
        self._watch_writable(False)
        self._owner.transport.stop(self.stream_id, StreamCode.ABORTED)
        self._owner.transport.kick()
        self._finish_if_over()

    # --- end ---------------------------------------------------------------------------------------------------

    def abort(self, code: StreamCode) -> None:
        """Reset the flow on both sides.

        Args:
            code: Why; the other side may show it.
        """
        if self.closed:
            return
        transport = self._owner.transport
        if not self._out_ended:
            transport.reset(self.stream_id, code)
        if not (self._stream_ended or self._in_ended):
            transport.stop(self.stream_id, code)
        transport.kick()
        self.close(reset=True)

    def close(self, *, reset: bool) -> None:
        """Close the local connection without a word to the other side, which knows or is gone."""
        if self.closed:
            return
        self.closed = self._out_ended = self._in_ended = True
        if self._cancel_dial is not None:
            self._cancel_dial()
            self._cancel_dial = None
        self.watch(False)
        self._watch_writable(False)
        self._pending = None
        for valve in (self._valve_in, self._valve_out):
            if valve is not None:
                valve.close()
        self._window.close()
        if self._local is not None:
            self._local.drop(reset=reset)
        self._owner.ended(self, reset=reset)

    def _finish_if_over(self) -> None:
        if self._out_ended and self._in_ended:
            self.close(reset=self._cut)

    # --- status ------------------------------------------------------------------------------------------------

    def snapshot(self) -> FlowSnapshot:
        """The flow's figures now."""
        return FlowSnapshot(
            stream_id=self.stream_id,
            service="" if self.header is None else self.header.service,
            origin=None if self.header is None else self.header.origin,
            opened_at=self.opened_at,
            bytes_out=self.sent - self._overhead_out,
            bytes_in=self._window.consumed - self._overhead_in,
            held_bytes=self._window.held_bytes,
            connected=self._local is not None,
        )
