"""Flows to a part of this program: asyncio protocols talk to services without a socket in between."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

ABSORBED_BYTES: Final = 256 << 10
"""What a protocol that reads is given on top of a stream's window. It is held in our memory should it stop reading, so
it is less than kernels take; 250 Mbit/s at 40 ms in all."""
HIGH_WATER_BYTES: Final = 64 << 10
"""Above this, whoever writes is asked to pause, as asyncio's own transports do."""
LOW_WATER_BYTES: Final = 16 << 10


class ProgramEnd(asyncio.Transport):
    """The transport of a protocol and the local end of a flow: what one side puts in, the other one takes out.

    What one side does, the other hears of a turn of the loop later, as with a socket; only what arrives is given to the
    protocol at once.

    Concurrency: one event loop.

    Args:
        protocol: Takes what arrives; whoever makes this object calls its ``connection_made``.
        loop: The event loop.
    """

    __slots__ = (
        "_error",
        "_has_written_all",
        "_is_closing",
        "_is_lost",
        "_is_paused",
        "_is_writing_paused",
        "_looking",
        "_loop",
        "_out",
        "_out_bytes",
        "_protocol",
        "_readable",
        "_writable",
    )

    def __init__(self, protocol: asyncio.Protocol, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._protocol = protocol
        self._loop = loop
        self._out: deque[memoryview] = deque()
        self._out_bytes = 0
        self._has_written_all = False
        self._error: OSError | None = None
        self._is_closing = False
        self._is_lost = False
        self._is_paused = False
        self._is_writing_paused = False
        self._readable: Callable[[], object] | None = None
        self._writable: Callable[[], object] | None = None
        self._looking: asyncio.Handle | None = None

    # --- the protocol's side -----------------------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """See ``asyncio.WriteTransport``."""
        if not data or self._is_closing or self._has_written_all:
            return
        self._out.append(memoryview(data if isinstance(data, bytes) else bytes(data)))
        self._out_bytes += len(data)
        self._look_soon()
        if self._out_bytes > HIGH_WATER_BYTES and not self._is_writing_paused:
            self._is_writing_paused = True
            self._protocol.pause_writing()

    def write_eof(self) -> None:
        """See ``asyncio.WriteTransport``."""
        self._has_written_all = True
        self._look_soon()

    def can_write_eof(self) -> bool:
        """See ``asyncio.WriteTransport``."""
        return True

    def get_write_buffer_size(self) -> int:
        """See ``asyncio.WriteTransport``."""
        return self._out_bytes

    def pause_reading(self) -> None:
        """See ``asyncio.ReadTransport``."""
        self._is_paused = True

    def resume_reading(self) -> None:
        """See ``asyncio.ReadTransport``."""
        self._is_paused = False
        self._look_soon()

    def is_closing(self) -> bool:
        """See ``asyncio.BaseTransport``."""
        return self._is_closing

    def close(self) -> None:
        """See ``asyncio.BaseTransport``."""
        self._is_closing = self._has_written_all = True
        self._look_soon()
        if not self._out:
            self._lose(None)

    def abort(self) -> None:
        """See ``asyncio.WriteTransport``."""
        self._is_closing = self._has_written_all = True
        self._error = ConnectionResetError("the connection was aborted")
        self._out.clear()
        self._out_bytes = 0
        self._look_soon()
        self._lose(None)

    # --- the flow's side ---------------------------------------------------------------------------------------

    def recv_into(self, buffer: memoryview, limit: int, /) -> int:
        """See ``LocalEnd``."""
        if not self._out:
            if self._error is not None:
                raise self._error
            if self._has_written_all:
                return 0
            raise BlockingIOError
        length = 0
        while self._out and length < limit:
            first = self._out[0]
            piece = first[: limit - length]
            buffer[length : length + len(piece)] = piece
            length += len(piece)
            if len(piece) == len(first):
                self._out.popleft()
            else:
                self._out[0] = first[len(piece) :]
        self._out_bytes -= length
        if self._is_writing_paused and self._out_bytes <= LOW_WATER_BYTES:
            self._is_writing_paused = False
            self._loop.call_soon(self._protocol.resume_writing)
        if self._is_closing and not self._out:
            self._lose(None)
        return length

    def send(self, data: bytes | bytearray | memoryview, /) -> int:
        """See ``LocalEnd``."""
        if self._is_closing:
            raise BrokenPipeError
        if self._is_paused:
            raise BlockingIOError
        try:
            self._protocol.data_received(data if isinstance(data, bytes) else bytes(data))
        except Exception as error:
            self._loop.call_exception_handler({"message": "a protocol failed", "exception": error, "transport": self})
            self.abort()
            raise BrokenPipeError from error
        return len(data)

    def sendmsg(self, pieces: Iterable[bytes | bytearray], /) -> int:
        """See ``LocalEnd``."""
        return self.send(b"".join(pieces))

    def end(self) -> None:
        """See ``LocalEnd``."""
        if not self._is_closing and not self._protocol.eof_received():
            self.close()

    def on_readable(self, callback: Callable[[], object] | None) -> None:
        """See ``LocalEnd``."""
        self._readable = callback
        self._look_soon()

    def on_writable(self, callback: Callable[[], object] | None) -> None:
        """See ``LocalEnd``."""
        self._writable = callback
        self._look_soon()

    def absorbable_bytes(self) -> int:
        """See ``LocalEnd``."""
        return 0 if self._is_paused or self._is_closing else ABSORBED_BYTES

    def drop(self, *, reset: bool) -> None:
        """See ``LocalEnd``."""
        self._readable = self._writable = None
        self._is_closing = True
        self._lose(ConnectionResetError("the other side reset the connection") if reset else None)

    # --- between them ------------------------------------------------------------------------------------------

    @property
    def _is_readable(self) -> bool:
        return self._readable is not None and bool(self._out or self._has_written_all)

    @property
    def _is_writable(self) -> bool:
        return self._writable is not None and (self._is_closing or not self._is_paused)

    def _look_soon(self) -> None:
        if self._looking is None and (self._is_readable or self._is_writable):
            self._looking = self._loop.call_soon(self._look)

    def _look(self) -> None:
        self._looking = None
        if self._readable is not None and self._is_readable:
            self._readable()
        if self._writable is not None and self._is_writable:
            self._writable()
        self._look_soon()

    def _lose(self, error: OSError | None) -> None:
        if not self._is_lost:
            self._is_lost = True
            self._loop.call_soon(self._protocol.connection_lost, error)
