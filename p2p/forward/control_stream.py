"""Carries a control channel over its stream."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from p2p.forward.transport import StreamTransport
from p2p.proto.tunnel.control import ControlChannel, ControlEvent

CONTROL_STREAM: Final = 0


class ControlStream:
    """Feeds the channel, hands out its events, and sends what it has to say.

    Args:
        channel: What both sides say to each other.
        transport: The QUIC connection.
        loop: The event loop.
        on_event: Called with each event of the channel.
    """

    def __init__(
        self,
        channel: ControlChannel,
        transport: StreamTransport,
        *,
        loop: asyncio.AbstractEventLoop,
        on_event: Callable[[ControlEvent], None],
    ) -> None:
        self._channel = channel
        self._transport = transport
        self._loop = loop
        self._on_event = on_event
        self._is_flush_scheduled = False
        self._is_closed = False

    def receive(self, data: bytes, end: bool) -> None:
        """Take the next bytes of the stream, or its end, and answer."""
        if self._is_closed:
            return
        self._channel.receive(data, self._loop.time())
        if end:
            self._channel.receive_end()
        while not self._is_closed and (event := self._channel.next_event()) is not None:
            self._on_event(event)
        self.flush()

    def flush_soon(self) -> None:
        """Send what the channel has to say, together with what it will have at the end of this turn of the loop."""
        if not self._is_flush_scheduled:
            self._is_flush_scheduled = True
            self._loop.call_soon(self.flush)

    def flush(self) -> bool:
        """Send what the channel has to say.

        Returns:
            Whether it had anything.
        """
        self._is_flush_scheduled = False
        if self._is_closed or self._transport.is_closed or not (data := self._channel.data_to_send()):
            return False
        self._transport.send(CONTROL_STREAM, data)
        self._transport.kick()
        return True

    def close(self) -> None:
        """Hear and say nothing more."""
        self._is_closed = True
