"""From an engine's events to a handler's calls."""

from __future__ import annotations

import logging
from collections.abc import Callable

from p2p.quic.engine import (
    ConnectionIdIssued,
    ConnectionIdRetired,
    ConnectionTerminated,
    DatagramReceived,
    EngineConnection,
    EngineEvent,
    HandshakeCompleted,
    SendingStopped,
    StreamDataReceived,
    StreamReset,
)
from p2p.quic.handler import StreamHandler

logger = logging.getLogger(__name__)


class EventDispatcher:
    """Hands events to the handler, as long as there is one and nobody has stopped it.

    An exception out of the handler is a bug of ours, and must not end the loop's callback halfway: it is logged and
    reported.

    Args:
        engine: Where the events come from.
        on_handshake_completed: Called before the handler hears of it; False keeps it from the handler.
        on_cid_issued: Called with an id by which the peer may address us from now on.
        on_cid_retired: Called with one that the peer no longer uses.
        on_terminated: Called with the last event.
        on_handler_failed: Called after the handler raised.
    """

    def __init__(
        self,
        engine: EngineConnection,
        *,
        on_handshake_completed: Callable[[], bool],
        on_cid_issued: Callable[[bytes], object],
        on_cid_retired: Callable[[bytes], object],
        on_terminated: Callable[[ConnectionTerminated], object],
        on_handler_failed: Callable[[], object],
    ) -> None:
        self.handler: StreamHandler | None = None
        self._next_event = engine.next_event
        self._on_handshake_completed = on_handshake_completed
        self._on_cid_issued = on_cid_issued
        self._on_cid_retired = on_cid_retired
        self._on_terminated = on_terminated
        self._on_handler_failed = on_handler_failed
        self._is_writable = False
        self._is_stopped = False

    def run(self) -> None:
        """Hand out everything the engine has."""
        try:
            while self.handler is not None and not self._is_stopped and (event := self._next_event()) is not None:
                if type(event) is StreamDataReceived:
                    self.handler.stream_data_received(event.stream_id, event.data, event.end)
                else:
                    self._rare(event, self.handler)
        except Exception as error:
            self._failed(error)

    def ask_for_more(self) -> bool:
        """Let the handler feed the engine; returns whether it did."""
        if self.handler is None or not self._is_writable or self._is_stopped:
            return False
        try:
            has_written = self.handler.writable()
        except Exception as error:
            self._failed(error)
            return False
        # The handler may have closed the connection.
        return has_written and not self._is_stopped

    def stop(self) -> None:
        """Hand out nothing any more."""
        self._is_stopped = True

    def _rare(self, event: EngineEvent, handler: StreamHandler) -> None:
        match event:
            case DatagramReceived(data):
                handler.datagram_received(data)
            case StreamReset(stream_id, code):
                handler.stream_reset(stream_id, code)
            case SendingStopped(stream_id, code):
                handler.sending_stopped(stream_id, code)
            case HandshakeCompleted():
                if self._on_handshake_completed():
                    self._is_writable = True
                    handler.handshake_completed()
            case ConnectionIdIssued(connection_id):
                self._on_cid_issued(connection_id)
            case ConnectionIdRetired(connection_id):
                self._on_cid_retired(connection_id)
            case ConnectionTerminated():
                self._on_terminated(event)

    def _failed(self, error: Exception) -> None:
        logger.error("a handler failed; its connection is closed", exc_info=error)
        self._on_handler_failed()
