"""A client's data connection and the peer's connection behind it, joined."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Final, cast

from p2p.aio.tasks import TaskScope
from relay.core.allocation import Allocation

logger = logging.getLogger(__name__)

_RATE_PAUSE_S: Final = 0.05
"""How long a direction rests that is beyond its rate: a fifth of what a limit saves up."""


class TcpPeerStream:
    """A connection with a peer, which nobody reads before a client binds it.

    Args:
        loop: The event loop.
        connection: Connected, non-blocking.
        scope: Where it is given to the event loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, connection: socket.socket, scope: TaskScope) -> None:
        self._loop = loop
        self._socket: socket.socket | None = connection
        self._scope = scope
        self._pipe: _Pipe | None = None

    def join(
        self,
        client: asyncio.Transport,
        first: bytes,
        allocation: Allocation,
        on_end: Callable[[], None],
    ) -> None:
        """Pass everything between the peer and a client's data connection from now on.

        Args:
            client: The data connection, whose protocol is replaced.
            first: What the client has sent already.
            allocation: Whose traffic it is.
            on_end: Called once, when both have ended.
        """
        assert self._socket is not None
        connection, self._socket = self._socket, None
        self._pipe = _Pipe(self._loop, allocation, on_end)
        self._pipe.client.take(client)
        if first:
            self._pipe.client.data_received(first)
        self._scope.start(self._pipe.open(connection), name="data connection")

    def close(self) -> None:
        """Close it at once."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._pipe is not None:
            self._pipe.abort()


class _Pipe:
    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        allocation: Allocation,
        on_end: Callable[[], None],
    ) -> None:
        self.loop = loop
        self.allocation = allocation
        self._on_end: Callable[[], None] | None = on_end
        self.client = _End(self, is_client=True)
        self.peer = _End(self, is_client=False)
        self.client.other, self.peer.other = self.peer, self.client

    async def open(self, connection: socket.socket) -> None:
        """Give the peer's connection to the event loop."""
        try:
            await self.loop.connect_accepted_socket(lambda: self.peer, connection)
        except OSError as error:
            logger.debug("connection of a peer: %s", error)
            self.abort()

    def abort(self) -> None:
        """Close both ends at once."""
        self.client.abort()
        self.peer.abort()

    def ended(self) -> None:
        """Take note that an end is gone; the other one sends what it has, and goes too."""
        self.client.finish()
        self.peer.finish()
        if self._on_end is not None and self.client.is_gone and self.peer.is_gone:
            on_end, self._on_end = self._on_end, None
            on_end()


class _End(asyncio.Protocol):
    """One of the two ends: what it receives goes out at the other."""

    other: _End

    def __init__(self, pipe: _Pipe, *, is_client: bool) -> None:
        self._pipe = pipe
        self._is_client = is_client
        self._transport: asyncio.Transport | None = None
        self._waiting: list[bytes] = []
        self._has_eof = False
        self._is_over = False
        self._holds = 0
        self._timer: asyncio.TimerHandle | None = None

    # --- asyncio -------------------------------------------------------------------------------------------

    def take(self, transport: asyncio.Transport) -> None:
        """Take over a transport that belonged to another protocol."""
        transport.set_protocol(self)
        self._transport = transport
        self.hold()  # until the other end is there

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin: send what waits, and let the other end go on."""
        self._transport = cast("asyncio.Transport", transport)
        if self._is_over:
            self._transport.abort()
            return
        for data in self._waiting:
            self._transport.write(data)
        self._waiting.clear()
        if self._holds:
            self._transport.pause_reading()
        self.other.release()
        if self.other._has_eof:
            self.write_eof()

    def data_received(self, data: bytes) -> None:
        """Send it out at the other end, as fast as limits allow."""
        pipe, size = self._pipe, len(data)
        pipe.allocation.count_stream(size, to_peer=self._is_client)
        self.other.write(data)
        rates = pipe.allocation.rates
        if rates.is_limited and not rates.take((data,)):
            self.hold()
            self._timer = pipe.loop.call_later(_RATE_PAUSE_S, self._try_again, data)

    def eof_received(self) -> bool:
        """Pass the end of the stream on; the other direction may go on where both can half-close."""
        self._has_eof = True
        # TLS has no half-closed connections.
        return self.other.write_eof() and self._transport is not None and self._transport.can_write_eof()

    def pause_writing(self) -> None:
        """Stop the other end: this one does not read."""
        self.other.hold()

    def resume_writing(self) -> None:
        """Let the other end go on."""
        self.other.release()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the other one too."""
        self._transport = None
        self._is_over = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._pipe.ended()

    @property
    def is_gone(self) -> bool:
        """Whether nothing of it is left."""
        return self._is_over and self._transport is None

    # --- for the other end ---------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send, or keep what comes before the connection is there."""
        if self._transport is not None:
            self._transport.write(data)
        elif not self._is_over:
            self._waiting.append(data)

    def write_eof(self) -> bool:
        """Say that nothing more will come; False when that ends the connection."""
        transport = self._transport
        if transport is None:
            return not self._is_over
        if not transport.can_write_eof() or self._has_eof:
            transport.close()  # after what is unsent
            return False
        transport.write_eof()
        return True

    def hold(self) -> None:
        """Stop reading, for one more reason."""
        self._holds += 1
        if self._holds == 1 and self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def release(self) -> None:
        """Take one reason back."""
        self._holds -= 1
        if not self._holds and self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def finish(self) -> None:
        """Close, after what is unsent."""
        self._is_over = True
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._is_over = True
        if self._transport is not None:
            self._transport.abort()

    def _try_again(self, data: bytes) -> None:
        self._timer = None
        rates = self._pipe.allocation.rates
        if rates.is_limited and not rates.take((data,)):
            self._timer = self._pipe.loop.call_later(_RATE_PAUSE_S, self._try_again, data)
        else:
            self.release()
