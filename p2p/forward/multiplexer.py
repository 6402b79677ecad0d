"""One side of a session: who is let in, all flows over one QUIC connection, and an orderly end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from p2p import defaults
from p2p.errors import ForwardError, LocalProtocolError, P2PError, RemoteProtocolError, SessionClosedError
from p2p.forward.control_stream import CONTROL_STREAM, ControlStream
from p2p.forward.counters import FlowSnapshot, ForwardSnapshot
from p2p.forward.credit import CreditPool
from p2p.forward.datagram_flow import DatagramFlow, DatagramPort
from p2p.forward.drainage import Drainage
from p2p.forward.local_end import LocalEnd
from p2p.forward.observer import SessionObserver
from p2p.forward.round_trips import RoundTrips
from p2p.forward.sockets import Addresses
from p2p.forward.table import CODE_NO_NEW_FLOWS, FlowTable
from p2p.forward.target import FlowAcceptor
from p2p.forward.throttle import Throttles
from p2p.forward.transport import StreamTransport
from p2p.proto.tunnel import control as tunnel
from p2p.proto.tunnel.codes import CloseCode, GoodbyeCode, RefusalCode, goodbye_error, refusal_error
from p2p.proto.tunnel.control import ControlChannel, Role, State
from p2p.proto.tunnel.frames import AuthRequest, Hello
from p2p.proto.tunnel.header import FlowKind, StreamHeader


class Multiplexer:
    """One side of a session's forwarding; the handler of its QUIC connection.

    It is synchronous: sockets' readiness and the connection's calls drive it, and it has no task. Which path carries
    the connection is invisible here.

    Life: ``authenticate`` (dialer) or ``accept`` (exposer), then flows; at last ``drain`` if there is time, ``close``,
    and ``SessionObserver.closed``. A dialer may open a few flows right after ``authenticate``, which saves the first
    one a round trip; the exposer looks at them once it has accepted.

    Args:
        transport: The QUIC connection; set its handler to this object.
        role: Our side.
        hello: How we introduce ourselves.
        observer: Who decides.
        loop: The event loop.
        acceptor: Connects the flows that the other side opens; None refuses them.
        pool: Memory for streams whose reader is slow; share one among all sessions of a process.
        max_flows: Flows of both sides together.
        datagram_idle_s: A flow of datagrams ends when none has come from either side for so long.
    """

    def __init__(
        self,
        transport: StreamTransport,
        role: Role,
        hello: Hello,
        observer: SessionObserver,
        *,
        loop: asyncio.AbstractEventLoop,
        acceptor: FlowAcceptor | None = None,
        pool: CreditPool | None = None,
        max_flows: int = defaults.TUNNEL_MAX_FLOWS,
        datagram_idle_s: float = defaults.FORWARD_UDP_IDLE_S,
    ) -> None:
        self.peer_hello: Hello | None = None
        """How the other side introduced itself."""
        self.on_flow_ended: Callable[[FlowSnapshot], None] = lambda _: None
        """Told the last figures of each flow."""
        self.loop = loop
        """Where its flows wait for their local ends."""
        self._transport = transport
        self._observer = observer
        self._control = ControlChannel(role, hello)
        self._control_stream = ControlStream(self._control, transport, loop=loop, on_event=self._handle)
        self._table = FlowTable(
            transport,
            role,
            self,
            loop=loop,
            acceptor=acceptor,
            pool=pool or CreditPool(),
            max_flows=max_flows,
            datagram_idle_s=datagram_idle_s,
        )
        self._is_authenticated = False
        self._is_established = False
        self._drainage = Drainage()
        self._round_trips = RoundTrips(loop)
        self._capacity_callbacks: dict[Callable[[], object], None] = {}
        self._error: P2PError | None = None
        self._refusal: P2PError | None = None
        self._refusal_timer: asyncio.TimerHandle | None = None

    # --- being let in ------------------------------------------------------------------------------------------

    @property
    def is_established(self) -> bool:
        """Whether the dialer was let in and the session has not ended."""
        return self._is_established and self._error is None

    @property
    def acceptor(self) -> FlowAcceptor | None:
        """What connects the flows that the other side opens; set it before ``accept`` once it is known who asks."""
        return self._table.acceptor

    @acceptor.setter
    def acceptor(self, acceptor: FlowAcceptor | None) -> None:
        self._table.acceptor = acceptor

    def throttle(self, throttles: Throttles) -> None:
        """Limit the bandwidth of services; flows that are open already go on as they are."""
        self._table.throttles = throttles

    def authenticate(self, request: AuthRequest, hello: Hello | None = None) -> None:
        """Dialer: introduce ourselves and ask to be let in; call it once the handshake is complete.

        Raises:
            LocalProtocolError: We are the exposer, asked already, or the connection has other streams.
        """
        self._control.authenticate(request, hello)
        if (stream_id := self._transport.open_stream()) != CONTROL_STREAM:
            raise LocalProtocolError(f"the control stream would be stream {stream_id}")
        self._is_authenticated = True
        self._control_stream.flush()
        self._tell_capacity()

    def accept(self, hello: Hello | None = None) -> None:
        """Exposer: let the dialer in and introduce ourselves.

        Raises:
            LocalProtocolError: No request waits for a verdict.
        """
        self._control.accept(hello)
        self._control_stream.flush()
        self._is_authenticated = self._is_established = True
        self._observer.established()
        self._table.release()

    def refuse(self, code: RefusalCode, text: str = "") -> None:
        """Exposer: turn the dialer away; it has a moment to hear why before the connection is closed.

        Args:
            code: Why.
            text: Words for the dialer's user.

        Raises:
            LocalProtocolError: No request waits for a verdict.
        """
        self._control.refuse(code, text)
        self._control_stream.flush()
        self._table.close()
        self._refusal = refusal_error(code, text)
        self._refusal_timer = self.loop.call_later(
            defaults.TUNNEL_REFUSAL_LINGER_S, self._abort, self._refusal, CloseCode.REFUSED, "refused"
        )

    # --- flows -------------------------------------------------------------------------------------------------

    def open_flow(self, local: LocalEnd, service: str, addresses: Addresses, kind: FlowKind = FlowKind.STREAM) -> None:
        """Forward a local connection.

        Args:
            local: It belongs to the flow from here on.
            service: Which service; empty means the session's own.
            addresses: Whose connection it really is.
            kind: What its bytes are.

        Raises:
            ForwardError: No flow can be opened now; the local end still belongs to the caller.
        """
        self._require_room()
        self._table.open(local, StreamHeader(service, *addresses, kind))

    def open_datagram_flow(self, port: DatagramPort, service: str, addresses: Addresses) -> DatagramFlow:
        """Forward the datagrams of one local source.

        Args:
            port: Where datagrams of the other side go.
            service: Which service; empty means the session's own.
            addresses: The source, and where it sends to.

        Raises:
            ForwardError: No flow can be opened now.
        """
        self._require_room()
        return self._table.open_datagrams(port, StreamHeader(service, *addresses, FlowKind.DATAGRAMS))

    def call_on_capacity(self, callback: Callable[[], object]) -> None:
        """Call back once when ``open_flow`` is worth another try: the session is up, or a flow has ended."""
        self._capacity_callbacks[callback] = None

    def flow_snapshots(self) -> tuple[FlowSnapshot, ...]:
        """Every open flow's figures, oldest first."""
        return self._table.flow_snapshots()

    def snapshot(self) -> ForwardSnapshot:
        """The figures of all flows so far."""
        return self._table.snapshot()

    @property
    def rtt_s(self) -> float | None:
        """The round trip in seconds that ``ping`` measured last."""
        return self._round_trips.last_s

    async def ping(self) -> float:
        """Measure the round trip over the control stream.

        Returns:
            Seconds.

        Raises:
            LocalProtocolError: The session is not established.
            P2PError: The session ended meanwhile.
        """
        self._control.ping(self.loop.time())
        self._control_stream.flush()
        return await self._round_trips.next()

    # --- the end -----------------------------------------------------------------------------------------------

    async def drain(self, timeout_s: float) -> bool:
        """Open no more flows, ask the other side for the same, and wait for the last ones to end on both sides.

        Only then is it certain that everything was delivered: what this side has sent may still be under way.

        Args:
            timeout_s: How long to wait.

        Returns:
            Whether all flows have ended in time; True also when the session was over already.
        """
        if not self.is_established:
            return True
        if not self._drainage.is_ours:
            self._drainage.is_ours = True
            self._control.drain()
            self._table.end_datagrams()
            self._control_stream.flush()
        return await self._drainage.wait(
            lambda: self._error is not None or (not self._table and self._drainage.is_peer_drained), timeout_s
        )

    def close(self, code: GoodbyeCode = GoodbyeCode.DONE, reason: str = "") -> None:
        """End the session now: say goodbye, reset what is left, close the connection. A second call does nothing.

        Args:
            code: Why.
            reason: Words for the other side's user.
        """
        if self._error is None:
            if self._control.state is State.OPEN:
                self._control.goodbye(code, reason)
            self._abort(SessionClosedError(reason or "ended by this side"), code, reason)

    # --- StreamHandler -----------------------------------------------------------------------------------------

    def handshake_completed(self) -> None:
        """See ``StreamHandler``."""
        self._observer.handshake_completed()

    def stream_data_received(self, stream_id: int, data: bytes, end: bool) -> None:
        """See ``StreamHandler``."""
        if stream_id != CONTROL_STREAM:
            self._table.receive(stream_id, data, end)
        else:
            self._control_stream.receive(data, end)

    def stream_reset(self, stream_id: int, code: int) -> None:
        """See ``StreamHandler``."""
        if stream_id != CONTROL_STREAM:
            self._table.stream_reset(stream_id, code)
        else:
            self._control_stream.receive(b"", True)

    def sending_stopped(self, stream_id: int, code: int) -> None:
        """See ``StreamHandler``."""
        if stream_id != CONTROL_STREAM:
            self._table.sending_stopped(stream_id)
        else:
            self._control_stream.receive(b"", True)

    def datagram_received(self, data: bytes) -> None:
        """See ``StreamHandler``."""
        self._table.datagram_received(data)

    def writable(self) -> bool:
        """See ``StreamHandler``."""
        self._table.deliver()
        return self._table.feeder.pull() | self._control_stream.flush()

    def connection_lost(self, error: P2PError) -> None:
        """See ``StreamHandler``."""
        self._finish(self._refusal or error)

    # --- FlowGovernor ------------------------------------------------------------------------------------------

    def grant(self, stream_id: int, max_offset: int) -> None:
        """See ``FlowGovernor``."""
        self._control.grant_credit(stream_id, max_offset)
        self._control_stream.flush_soon()

    def announce_end(self, stream_id: int, final_offset: int) -> None:
        """See ``FlowGovernor``."""
        self._control.announce_end(stream_id, final_offset)
        self._control_stream.flush_soon()

    def protocol_broken(self, error: RemoteProtocolError) -> None:
        """See ``FlowGovernor``."""
        self._abort(error, CloseCode.PROTOCOL_BROKEN, str(error))

    def flow_failed(self, error: ForwardError) -> None:
        """See ``FlowGovernor``."""
        self._observer.flow_failed(error)

    def flow_ended(self, figures: FlowSnapshot) -> None:
        """See ``FlowGovernor``."""
        self.on_flow_ended(figures)
        if self._error is not None:
            return
        if not self._table:
            self._last_flow_ended()
        if self._capacity_callbacks and not self._table.is_full:
            self._tell_capacity()

    # --- inside ------------------------------------------------------------------------------------------------

    def _handle(self, event: tunnel.ControlEvent) -> None:
        match event:
            case tunnel.CreditGranted(stream_id, max_offset):
                self._table.credit_received(stream_id, max_offset)
            case tunnel.EndAnnounced(stream_id, final_offset):
                self._table.end_announced(stream_id, final_offset)
            case tunnel.HelloReceived(hello, _):
                self.peer_hello = hello
            case tunnel.AuthReceived(request):
                self._observer.auth_requested(request)
            case tunnel.Accepted():
                self._is_established = True
                self._table.release()
                self._observer.established()
                self._tell_capacity()
            case tunnel.Refused(code, text):
                self._abort(refusal_error(code, text), CloseCode.REFUSED, "refused")
            case tunnel.RttMeasured(rtt_s):
                self._round_trips.measured(rtt_s)
            case tunnel.DrainRequested():
                self._drainage.is_peers = True
                self._table.end_datagrams()
                self._observer.drain_requested()
                if not self._table:
                    self._last_flow_ended()
            case tunnel.PeerDrained():
                self._drainage.is_peer_drained = True
                self._drainage.tell()
            case tunnel.GoodbyeReceived(code, reason):
                self._abort(goodbye_error(code, reason), GoodbyeCode.DONE, "goodbye heard")
            case tunnel.ControlBroken(error):
                self.protocol_broken(error)

    def _require_room(self) -> None:
        is_over = self._error is not None or self._transport.is_closed
        if is_over or not self._is_authenticated or self._drainage.is_under_way:
            raise ForwardError("the session takes no new connections", code=CODE_NO_NEW_FLOWS)

    def _last_flow_ended(self) -> None:
        if self._drainage.is_peers and self._control.state is State.OPEN:
            self._control.report_drained()
            self._control_stream.flush()
        self._drainage.tell()

    def _tell_capacity(self) -> None:
        callbacks, self._capacity_callbacks = self._capacity_callbacks, {}
        for callback in callbacks:
            callback()

    def _abort(self, error: P2PError, code: int, reason: str) -> None:
        if self._error is None:
            self._control_stream.flush()
            self._transport.close(code, reason)
            self._finish(error)

    def _finish(self, error: P2PError) -> None:
        if self._error is not None:
            return
        self._error = error
        if self._refusal_timer is not None:
            self._refusal_timer.cancel()
        self._control_stream.close()
        self._table.close()
        self._drainage.tell()
        self._round_trips.close(error)
        self._observer.closed(error)
