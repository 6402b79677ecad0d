"""The flows of one session: which stream belongs to which, how new ones come in, and what all have done."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Final, Protocol, TypeAlias
from weakref import WeakKeyDictionary

from p2p import defaults
from p2p.errors import DecodeError, ErrorCode, ForwardError, RemoteProtocolError
from p2p.forward.counters import FlowSnapshot, ForwardSnapshot
from p2p.forward.credit import CreditPool
from p2p.forward.datagram_flow import DatagramFlow, DatagramPort
from p2p.forward.datagram_table import DatagramTable
from p2p.forward.feed import Feeder
from p2p.forward.flow import Flow
from p2p.forward.local_end import LocalEnd, SocketEnd
from p2p.forward.streams import PeerStreams
from p2p.forward.target import FlowAcceptor
from p2p.forward.throttle import Throttles
from p2p.forward.transport import StreamTransport
from p2p.proto.tunnel.codes import CODE_CREDIT_EXCEEDED, StreamCode, stream_error
from p2p.proto.tunnel.control import Role
from p2p.proto.tunnel.datagrams import decode_train_untrusted
from p2p.proto.tunnel.header import FlowKind, StreamHeader

logger = logging.getLogger(__name__)

CODE_NO_NEW_FLOWS: Final = ErrorCode(
    "P2P-6120", "Wait for the session to come back, or start a new one.", retryable=True
)
CODE_TOO_MANY_FLOWS: Final = ErrorCode("P2P-6121", "Close some connections, or start another session.", retryable=True)

AnyFlow: TypeAlias = Flow | DatagramFlow
"""A forwarded connection, or a forwarded source of datagrams."""

_read_buffers: WeakKeyDictionary[asyncio.AbstractEventLoop, memoryview] = WeakKeyDictionary()
"""One for all sessions of a loop: what is read is given to QUIC before anyone else reads."""


class FlowGovernor(Protocol):
    """What the table asks of the session around it."""

    def grant(self, stream_id: int, max_offset: int) -> None:
        """Tell the other side how far it may send on a stream."""
        ...

    def announce_end(self, stream_id: int, final_offset: int) -> None:
        """Tell the other side how many bytes a stream has in all."""
        ...

    def protocol_broken(self, error: RemoteProtocolError) -> None:
        """The other side broke the rules: the connection must end."""
        ...

    def flow_failed(self, error: ForwardError) -> None:
        """A flow has no connection to its service, on whichever side it was to be made."""
        ...

    def flow_ended(self, figures: FlowSnapshot) -> None:
        """A flow was removed from the table."""
        ...


class FlowTable:
    """All flows of a session, of both sides.

    Until ``release`` the flows of the other side only collect what arrives, and there may be only a few: nobody has
    proven yet that they may be heard.

    Args:
        transport: The QUIC connection.
        role: Our side.
        governor: The session.
        loop: The event loop.
        acceptor: Connects the flows that the other side opens; None refuses them.
        pool: Memory for streams whose reader is slow.
        max_flows: How many there may be.
        datagram_idle_s: A flow of datagrams ends when none has come from either side for so long.
    """

    def __init__(
        self,
        transport: StreamTransport,
        role: Role,
        governor: FlowGovernor,
        *,
        loop: asyncio.AbstractEventLoop,
        acceptor: FlowAcceptor | None,
        pool: CreditPool,
        max_flows: int,
        datagram_idle_s: float,
    ) -> None:
        self.loop = loop
        self.transport = transport
        self.pool = pool
        self.feeder = Feeder(transport)
        self.read_buffer = _read_buffers.setdefault(loop, memoryview(bytearray(defaults.TUNNEL_QUANTUM_BYTES)))
        self.acceptor = acceptor
        self.throttles: Throttles | None = None
        self._governor = governor
        self._max_flows = max_flows
        self._peer_streams = PeerStreams(role, max_flows)
        self._flows: dict[int, AnyFlow] = {}
        self._datagrams = DatagramTable(
            loop, idle_s=datagram_idle_s, max_flows=min(max_flows, defaults.FORWARD_UDP_FLOWS)
        )
        self._ends: dict[int, int] = {}
        self._early: list[Flow] | None = []
        self._due: list[AnyFlow] = []
        self._closed = False
        self._flows_total = 0
        self._flows_reset = 0
        self._flows_refused = 0
        self._bytes_out = 0
        self._bytes_in = 0
        self._datagrams_dropped = 0

    def __len__(self) -> int:
        return len(self._flows)

    @property
    def is_full(self) -> bool:
        """Whether there are as many flows as there may be now."""
        return len(self._flows) >= (self._max_flows if self._early is None else defaults.TUNNEL_EARLY_STREAMS)

    def open(self, local: LocalEnd, header: StreamHeader) -> None:
        """Begin a flow of ours.

        Raises:
            ForwardError: There are too many flows; the local end still belongs to the caller.
        """
        self._require_room()
        flow = Flow(self, self.transport.open_stream(), local, header)
        self._flows[flow.stream_id] = flow
        self._flows_total += 1
        self._throttle(flow, header.service)
        flow.open()

    def open_datagrams(self, port: DatagramPort, header: StreamHeader) -> DatagramFlow:
        """Begin a flow of ours for the datagrams of one source.

        Raises:
            ForwardError: There are too many flows.
        """
        self._datagrams.make_room()
        self._require_room()
        flow = DatagramFlow(self, self.transport.open_stream(), header, port)
        self._flows[flow.stream_id] = flow
        self._flows_total += 1
        self._throttle(flow, header.service)
        flow.open()
        self._datagrams.add(flow)
        return flow

    def end_datagrams(self) -> None:
        """End the flows that have no end of their own."""
        self._datagrams.end_all()

    def release(self) -> None:
        """Begin to act on the flows of the other side."""
        early, self._early = self._early, None
        for flow in early or ():
            if not flow.closed:
                self.header_received(flow)

    def close(self) -> None:
        """Reset all local connections; the QUIC connection is gone or about to go."""
        self._closed = True
        self._datagrams.close()
        for flow in tuple(self._flows.values()):
            flow.close(reset=True)

    # --- news from the connection ------------------------------------------------------------------------------

    def receive(self, stream_id: int, data: bytes, end: bool) -> None:
        """Take the next bytes of a data stream."""
        flow = self._flows.get(stream_id) or self._new_flow(stream_id)
        if flow is not None:
            flow.receive(data, end)

    def datagram_received(self, data: bytes) -> None:
        """Take a QUIC datagram; one of a flow that is over, or that makes no sense, is dropped."""
        try:
            train = decode_train_untrusted(data)
        except DecodeError:
            self._datagrams.dropped += 1
            return
        flow = self._flows.get(train.stream_id)
        if isinstance(flow, DatagramFlow):
            flow.arrived(train.datagrams)
        elif not self._closed and (flow is not None or self._peer_streams.is_unseen(train.stream_id)):
            self._datagrams.hold(train)
        else:
            self._datagrams.dropped += len(train.datagrams)

    def stream_reset(self, stream_id: int, code: int) -> None:
        """The other side gave up sending on a data stream."""
        flow = self._flows.get(stream_id)
        if flow is None:
            self._is_new(stream_id)
            return
        if code >= StreamCode.FORWARD_REFUSED:
            self._failed(stream_id, code)
        flow.stream_reset()

    def sending_stopped(self, stream_id: int) -> None:
        """The other side takes no more on a data stream."""
        flow = self._flows.get(stream_id)
        if flow is not None:
            flow.sending_stopped()

    def credit_received(self, stream_id: int, max_offset: int) -> None:
        """The other side allows more on a data stream."""
        flow = self._flows.get(stream_id)
        if flow is not None:
            flow.credit_received(max_offset)

    def end_announced(self, stream_id: int, final_offset: int) -> None:
        """The other side has sent all it will on a data stream, of which nothing may have arrived yet."""
        flow = self._flows.get(stream_id)
        if flow is not None:
            flow.end_announced(final_offset)
        elif self._peer_streams.is_unseen(stream_id) and len(self._ends) < self._max_flows:
            self._ends[stream_id] = final_offset

    # --- FlowOwner ---------------------------------------------------------------------------------------------

    def header_received(self, flow: Flow) -> None:
        """See ``FlowOwner``."""
        if self._early is not None:
            self._early.append(flow)
            return
        if self.acceptor is None:
            self._dialled(flow, StreamCode.SERVICE_UNKNOWN)
            return
        assert flow.header is not None
        if flow.header.kind == FlowKind.DATAGRAMS:
            self._take_over(flow, flow.header, self.acceptor)
            return

        def done(result: socket.socket | StreamCode) -> None:
            self._dialled(flow, result)

        flow.dialling(self.acceptor.dial(flow.header, done))

    def deliver_soon(self, flow: AnyFlow) -> None:
        """See ``FlowOwner``."""
        if not self._due:
            self.loop.call_soon(self.deliver)
        self._due.append(flow)

    def deliver(self) -> None:
        """Write to local connections what has arrived for them: one call to the kernel for many packets."""
        due, self._due = self._due, []
        for flow in due:
            flow.deliver()

    def announce_end(self, stream_id: int, final_offset: int) -> None:
        """See ``FlowOwner``."""
        self._governor.announce_end(stream_id, final_offset)

    def grant(self, stream_id: int, max_offset: int) -> None:
        """See ``FlowOwner``."""
        self._governor.grant(stream_id, max_offset)

    def credit_exceeded(self, flow: AnyFlow) -> None:
        """See ``FlowOwner``."""
        error = RemoteProtocolError(f"too many bytes on stream {flow.stream_id}", code=CODE_CREDIT_EXCEEDED)
        self._governor.protocol_broken(error)

    def used(self, flow: DatagramFlow) -> None:
        """See ``DatagramOwner``."""
        self._datagrams.used(flow)

    def datagrams_failed(self, error: ForwardError) -> None:
        """See ``DatagramOwner``."""
        self._governor.flow_failed(error)

    def ended(self, flow: AnyFlow, *, reset: bool) -> None:
        """See ``FlowOwner``."""
        if isinstance(flow, DatagramFlow):
            self._datagrams.remove(flow)
        del self._flows[flow.stream_id]
        figures = flow.snapshot()
        self._bytes_out += figures.bytes_out
        self._bytes_in += figures.bytes_in
        self._datagrams_dropped += figures.datagrams_dropped
        self._flows_reset += reset
        self._governor.flow_ended(figures)

    # --- status ------------------------------------------------------------------------------------------------

    def flow_snapshots(self) -> tuple[FlowSnapshot, ...]:
        """Every open flow's figures, oldest first."""
        return tuple(flow.snapshot() for flow in self._flows.values())

    def snapshot(self) -> ForwardSnapshot:
        """The figures of all flows so far."""
        flows = self.flow_snapshots()
        return ForwardSnapshot(
            flows_open=len(flows),
            flows_total=self._flows_total,
            flows_reset=self._flows_reset,
            flows_refused=self._flows_refused,
            bytes_out=self._bytes_out + sum(flow.bytes_out for flow in flows),
            bytes_in=self._bytes_in + sum(flow.bytes_in for flow in flows),
            held_bytes=sum(flow.held_bytes for flow in flows),
            datagrams_dropped=self._datagrams_dropped
            + self._datagrams.dropped
            + self.transport.datagrams_dropped
            + sum(flow.datagrams_dropped for flow in flows),
        )

    # --- inside ------------------------------------------------------------------------------------------------

    def _is_new(self, stream_id: int) -> bool:
        try:
            return self._peer_streams.is_new(stream_id)
        except RemoteProtocolError as error:
            self._governor.protocol_broken(error)
            return False

    def _new_flow(self, stream_id: int) -> Flow | None:
        if self._closed or not self._is_new(stream_id):
            return None
        self._flows_total += 1
        if self.is_full:
            if self._early is not None:
                self._governor.protocol_broken(
                    RemoteProtocolError("too many streams before authentication", code=CODE_CREDIT_EXCEEDED)
                )
                return None
            self._flows_refused += 1
            self.transport.reset(stream_id, StreamCode.TOO_MANY_FLOWS)
            self.transport.stop(stream_id, StreamCode.TOO_MANY_FLOWS)
            return None
        flow = self._flows[stream_id] = Flow(self, stream_id, None, None)
        if (final_offset := self._ends.pop(stream_id, None)) is not None:
            flow.end_announced(final_offset)
        return flow

    def _require_room(self) -> None:
        if self.is_full:
            raise ForwardError(f"the session has {len(self)} connections", code=CODE_TOO_MANY_FLOWS)

    def _take_over(self, opened: Flow, header: StreamHeader, acceptor: FlowAcceptor) -> None:
        """Go on with a stream whose header says that it carries datagrams."""
        window, data, has_ended, final_offset = opened.hand_over()
        flow = DatagramFlow(self, opened.stream_id, header, None, window)
        self._flows[flow.stream_id] = flow

        def done(result: DatagramPort | StreamCode) -> None:
            if isinstance(result, StreamCode):
                self._failed(flow.stream_id, result)
                flow.abort(result)
            else:
                self._throttle(flow, header.service)
                flow.connected(result)

        self._datagrams.add(flow)
        flow.dialling(acceptor.dial_datagrams(header, flow, done))
        flow.read(data, has_ended)
        if final_offset is not None:
            flow.end_announced(final_offset)

    def _throttle(self, flow: AnyFlow, service: str) -> None:
        if self.throttles is not None:
            flow.throttle(self.throttles.of(service))

    def _dialled(self, flow: Flow, result: socket.socket | StreamCode) -> None:
        if isinstance(result, socket.socket):
            self._throttle(flow, "" if flow.header is None else flow.header.service)
            flow.connected(SocketEnd(result, self.loop))
            return
        self._failed(flow.stream_id, result)
        flow.abort(result)

    def _failed(self, stream_id: int, code: int) -> None:
        error = stream_error(code)
        logger.info("stream %d: %s", stream_id, error)
        self._flows_refused += 1
        self._governor.flow_failed(error)
