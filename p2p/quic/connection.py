"""The asyncio shell around one engine connection: timers, events, and sending without starving the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum, auto

from p2p.aio.timer import LazyTimer
from p2p.defaults import QUIC_BLOCKED_TIMER_S, QUIC_HANDSHAKE_TIMEOUT_S, QUIC_KEEP_ALIVE_S, QUIC_TIMER_RESOLUTION_S
from p2p.errors import ConnectivityError, IdentityError, LocalProtocolError, P2PError
from p2p.quic.dispatch import EventDispatcher
from p2p.quic.endings import (
    CLOSE_HANDLER_FAILED,
    CLOSE_HANDSHAKE_TIMEOUT,
    CLOSE_WRONG_IDENTITY,
    CODE_HANDSHAKE_TIMEOUT,
    ConnectionClosedError,
    check_peer_key,
    error_of,
)
from p2p.quic.engine import ConnectionStats, ConnectionTerminated, EngineConnection
from p2p.quic.handler import DatagramLink, StreamHandler
from p2p.quic.sender import Farewell, PacketSender
from p2p.quic.watch import Watch

__all__ = ["DatagramLink", "QuicConnection", "StreamHandler"]


class _State(Enum):
    OPEN = auto()
    CLOSING = auto()  # our close frame is out; whatever still arrives is answered with it
    CLOSED = auto()


class QuicConnection:
    """One QUIC connection on an event loop, over any link, with any engine.

    Whoever owns the socket calls ``receive`` for each batch of this connection's packets and ``after_receive`` once
    after a wake-up. Nothing happens before ``start``. States: open, closing (some round trips long), closed.

    Concurrency: one event loop, no task; two timers of the loop (the engine's, and one for handshake, keep-alive and
    linger), both gone when the connection is closed.

    Args:
        loop: The event loop.
        engine_connection: Made by an ``Engine``.
        link: Carries the packets.
        peer_public_key: For a client, the raw Ed25519 key the server's certificate must hold: obligatory. For a
            server it must be None, since a client proves itself inside the connection (``p2p.identity.proof``).
        handler: Hears what happens; events wait until there is one.
        keep_alive_s: Ping after so long without a packet; None lets the connection idle out.
        handshake_timeout_s: Give up when the handshake takes longer, counted from ``start``.

    Attributes:
        connection_ids: By which the peer may address this connection now; empty when it is closed.
        on_cid_added: Called with every id that comes later; for the router.
        on_cid_retired: Called with every one that goes, with all the rest at the end; for the router.
        is_handshake_complete: Whether the session is encrypted and, on the client, the key the expected one.

    Raises:
        LocalProtocolError: A client without, or a server with, ``peer_public_key``.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        engine_connection: EngineConnection,
        link: DatagramLink,
        *,
        peer_public_key: bytes | None,
        handler: StreamHandler | None = None,
        keep_alive_s: float | None = QUIC_KEEP_ALIVE_S,
        handshake_timeout_s: float = QUIC_HANDSHAKE_TIMEOUT_S,
    ) -> None:
        if engine_connection.is_client is (peer_public_key is None):
            raise LocalProtocolError("a client, and only a client, names the key its peer must have")
        self.on_cid_added: Callable[[bytes], object] | None = None
        self.on_cid_retired: Callable[[bytes], object] | None = None
        self.connection_ids: set[bytes] = {engine_connection.host_connection_id}
        if not engine_connection.is_client:
            self.connection_ids.add(engine_connection.initial_destination_cid)
        self.is_handshake_complete = False
        self._loop = loop
        self._engine = engine_connection
        self._peer_public_key = peer_public_key
        self._dispatcher = EventDispatcher(
            engine_connection,
            on_handshake_completed=self._handshake_completed,
            on_cid_issued=self._cid_issued,
            on_cid_retired=self._cid_retired,
            on_terminated=self._terminated,
            on_handler_failed=self._handler_failed,
        )
        self._dispatcher.handler = handler
        self._keep_alive_s = keep_alive_s
        self._handshake_timeout_s = handshake_timeout_s
        self._state = _State.OPEN
        self._is_started = False
        self._sender = PacketSender(
            engine_connection, link, ask_for_more=self._dispatcher.ask_for_more, on_unblocked=self._transmit
        )
        self._link = link
        self._farewell: Farewell | None = None
        self._is_kicked = False
        self._timer = LazyTimer(loop, self._fire)
        self._watch = Watch(
            loop, on_handshake_timeout=self._handshake_timed_out, on_quiet=self._quiet, on_lingered=self._release
        )
        self._untold_error: P2PError | None = None
        self._closed = asyncio.Event()

    # --- what the session asks -----------------------------------------------------------------------------

    @property
    def handler(self) -> StreamHandler | None:
        """Who hears what happens; setting it delivers what has waited."""
        return self._dispatcher.handler

    @handler.setter
    def handler(self, handler: StreamHandler) -> None:
        self._dispatcher.handler = handler
        if self._untold_error is not None:
            self._loop.call_soon(self._tell_handler)
        elif self._is_started:
            self.kick()

    @property
    def is_closed(self) -> bool:
        """Whether ``close`` was called or the connection was lost."""
        return self._state is not _State.OPEN

    @property
    def initial_destination_cid(self) -> bytes:
        """The id in the client's first packet; a client sends it to the server's side ahead of the connection."""
        return self._engine.initial_destination_cid

    @property
    def max_datagram_payload(self) -> int:
        """The largest payload ``send_datagram`` takes; 0 before the handshake."""
        return self._engine.max_datagram_payload

    @property
    def datagrams_dropped(self) -> int:
        """Unreliable datagrams that waited too long here."""
        return self._sender.datagrams.dropped

    @property
    def packets_sent(self) -> int:
        """Packets made since the start, lost ones included."""
        return self._sender.packets_sent

    @property
    def stats(self) -> ConnectionStats:
        """The transport figures of this moment."""
        return self._engine.stats

    def channel_binding(self) -> bytes:
        """32 bytes that only the two ends of this TLS session know.

        Raises:
            LocalProtocolError: The handshake is not complete.
        """
        return self._engine.channel_binding()

    # --- life ----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin: the client sends its first packet, the server waits for it. A second call does nothing."""
        if self._is_started or self._state is not _State.OPEN:
            return
        self._is_started = True
        self._engine.start(self._loop.time())
        self._watch.begin(self._handshake_timeout_s)
        self._transmit()

    def close(self, code: int = 0, reason: str = "") -> None:
        """End the connection and tell the peer why.

        The handler's ``connection_lost`` follows from the loop. A second call does nothing.

        Args:
            code: 0 to 2^62 - 1; the application's own.
            reason: One sentence for a person on the other side.
        """
        self._close(code, reason, ConnectionClosedError(reason, close_code=code, by_peer=False))

    async def wait_closed(self) -> None:
        """Wait until nothing of the connection is left; after ``close`` that takes some round trips."""
        await self._closed.wait()

    # --- streams and datagrams -----------------------------------------------------------------------------

    def open_stream(self) -> int:
        """Choose the id of a new bidirectional stream; the peer hears of it with its first bytes.

        Raises:
            LocalProtocolError: The connection is closed.
        """
        self._require_open()
        return self._engine.open_stream()

    def send(self, stream_id: int, data: bytes | memoryview, end: bool = False) -> None:
        """Queue bytes on a stream; they leave at the end of this turn of the loop.

        Args:
            stream_id: A stream of this connection.
            data: Any number of bytes; the engine copies them.
            end: Whether this side sends no more on the stream.

        Raises:
            LocalProtocolError: The connection is closed, or this side of the stream is.
        """
        self._require_open()
        self._engine.send(stream_id, data, end=end)
        self.kick()

    def reset(self, stream_id: int, code: int) -> None:
        """Give up sending on a stream; does nothing on one that is over."""
        if self._state is _State.OPEN:
            self._engine.reset(stream_id, code)
            self.kick()

    def stop(self, stream_id: int, code: int) -> None:
        """Ask the peer to give up sending on a stream; does nothing on one that is over."""
        if self._state is _State.OPEN:
            self._engine.stop(stream_id, code)
            self.kick()

    def unsent_bytes(self, stream_id: int | None = None) -> int:
        """How many bytes of a stream, or of all, were never sent yet."""
        return self._engine.unsent_bytes(stream_id)

    def send_datagram(self, data: bytes) -> None:
        """Queue an unreliable datagram; it is dropped when it cannot leave in time.

        Raises:
            LocalProtocolError: It is larger than ``max_datagram_payload``, or the connection is closed.
        """
        self._require_open()
        if len(data) > self._engine.max_datagram_payload:
            raise LocalProtocolError(
                f"datagram of {len(data)} bytes, at most {self._engine.max_datagram_payload} fit into a packet"
            )
        self._sender.datagrams.push(data, self._loop.time())
        self.kick()

    # --- the path below ------------------------------------------------------------------------------------

    def path_changed(self) -> None:
        """The link carries packets over another path now."""
        if self._state is _State.OPEN and self._is_started:
            self._engine.path_changed(self._loop.time())
            self.kick()

    def path_up(self) -> None:
        """The link carries packets again after an outage."""
        if self._state is _State.OPEN and self._is_started:
            self._engine.path_up(self._loop.time())
            self.kick()

    def receive(self, buffer: bytes, segment_size: int, now: float) -> None:
        """Take packets of this connection from the network; ``after_receive`` must follow in the same wake-up.

        Args:
            buffer: One or more datagrams of ``segment_size`` bytes, the last possibly shorter.
            segment_size: At least 1.
            now: When they arrived, on the loop's clock.
        """
        if self._state is _State.OPEN and self._is_started:
            self._watch.heard_at = now
            self._engine.receive(buffer, segment_size, now)
        elif self._farewell is not None:
            self._farewell.repeat()

    def after_receive(self, now: float) -> None:
        """Act on what was received by ``now``: hand out events, send answers."""
        self._turn()

    def kick(self) -> None:
        """Send what was queued at the end of this turn of the loop, once for all who ask."""
        if not self._is_kicked:
            self._is_kicked = True
            self._loop.call_soon(self._kicked)

    # --- events --------------------------------------------------------------------------------------------

    def _handshake_completed(self) -> bool:
        if self._peer_public_key is not None:
            try:
                check_peer_key(self._engine.peer_public_key(), self._peer_public_key)
            except IdentityError as error:
                self._close(CLOSE_WRONG_IDENTITY, "wrong identity", error)
                return False
        self.is_handshake_complete = True
        self._watch.keep_alive(self._keep_alive_s)
        return True

    def _cid_issued(self, connection_id: bytes) -> None:
        self.connection_ids.add(connection_id)
        if self.on_cid_added is not None:
            self.on_cid_added(connection_id)

    def _cid_retired(self, connection_id: bytes) -> None:
        if connection_id in self.connection_ids:
            self.connection_ids.discard(connection_id)
            if self.on_cid_retired is not None:
                self.on_cid_retired(connection_id)

    def _terminated(self, event: ConnectionTerminated) -> None:
        # An engine that ends by an error of its own has a last packet that says so.
        self._sender.flush(self._loop.time())
        self._finish(error_of(event))

    def _handler_failed(self) -> None:
        self._close(CLOSE_HANDLER_FAILED, "internal error", LocalProtocolError("a stream handler failed"))

    # --- sending and timers --------------------------------------------------------------------------------

    def _turn(self) -> None:
        if self._state is _State.OPEN and self._is_started:
            self._dispatcher.run()
            self._transmit()

    def _kicked(self) -> None:
        self._is_kicked = False
        self._turn()

    def _fire(self, now: float) -> None:
        self._engine.handle_timer(now)
        self._turn()

    def _transmit(self) -> None:
        if self._state is _State.OPEN and self._sender.run(self._loop.time()):
            self.kick()
        if self._state is _State.OPEN:  # still: the application may have closed it
            at = self._engine.get_timer()
            if at is not None:
                # A pacer asks for every packet; and while the link is full, what is due stays due.
                pause = QUIC_BLOCKED_TIMER_S if self._sender.is_blocked else QUIC_TIMER_RESOLUTION_S
                at = max(at, self._loop.time() + pause)
            self._timer.set(at)

    def _handshake_timed_out(self) -> None:
        error = ConnectivityError(f"no handshake within {self._handshake_timeout_s:g} s", code=CODE_HANDSHAKE_TIMEOUT)
        self._close(CLOSE_HANDSHAKE_TIMEOUT, "handshake timeout", error)

    def _quiet(self) -> None:
        self._engine.ping()
        self._transmit()

    # --- the end -------------------------------------------------------------------------------------------

    def _close(self, code: int, reason: str, error: P2PError) -> None:
        if self._state is not _State.OPEN:
            return
        if not self._is_started:
            self._finish(error)
            return
        now = self._loop.time()
        # What is queued goes first: a goodbye of the application, or the end of the handshake, without which the
        # peer could not read the close frame.
        self._sender.flush(now)
        self._engine.close(code, reason, now)
        self._farewell = Farewell(self._link, self._sender.flush(now))
        self._stop()
        self._state = _State.CLOSING
        self._watch.linger(self._engine.stats.smoothed_rtt_s)
        self._untold_error = error
        self._loop.call_soon(self._tell_handler)

    def _finish(self, error: P2PError) -> None:
        self._stop()
        self._release()
        self._untold_error = error
        self._loop.call_soon(self._tell_handler)

    def _stop(self) -> None:
        self._timer.cancel()
        self._watch.cancel()
        self._sender.stop()
        self._dispatcher.stop()

    def _release(self) -> None:
        self._state = _State.CLOSED
        self._farewell = None
        for connection_id in tuple(self.connection_ids):
            self._cid_retired(connection_id)
        self._closed.set()

    def _tell_handler(self) -> None:
        handler = self._dispatcher.handler
        if handler is not None and self._untold_error is not None:
            error, self._untold_error = self._untold_error, None
            handler.connection_lost(error)

    def _require_open(self) -> None:
        if self._state is not _State.OPEN:
            raise LocalProtocolError("the connection is closed")
