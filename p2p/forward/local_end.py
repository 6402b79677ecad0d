"""What a flow is joined to on this host: a socket, or a part of this program."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable
from typing import Protocol

from p2p.forward import sockets


class LocalEnd(Protocol):
    """The local connection of a flow. It never blocks, and says what it can do as a non-blocking socket does.

    Callbacks come for as long as there is a reason for them, as an event loop calls back for sockets.
    """

    def recv_into(self, buffer: memoryview, limit: int, /) -> int:
        """See ``socket.recv_into``."""

    def send(self, data: bytes | bytearray | memoryview, /) -> int:
        """See ``socket.send``."""

    def sendmsg(self, pieces: Iterable[bytes | bytearray], /) -> int:
        """See ``socket.sendmsg``."""

    def end(self) -> None:
        """Send nothing more; what is read goes on.

        Raises:
            OSError: It was reset meanwhile.
        """

    def on_readable(self, callback: Callable[[], object] | None) -> None:
        """Call back while there is something to read; None for never again."""

    def on_writable(self, callback: Callable[[], object] | None) -> None:
        """Call back while something can be sent; None for never again."""

    def absorbable_bytes(self) -> int:
        """Tell how many bytes will surely be taken without blocking, even if whoever reads them has stopped."""

    def drop(self, *, reset: bool) -> None:
        """Close it: the flow is over, and nobody may be called back any more.

        Args:
            reset: Whether the other side of it must see a reset rather than an orderly end.
        """


class SocketEnd:
    """A connected stream socket.

    Args:
        sock: Non-blocking; it belongs to this object from here on.
        loop: The event loop.
    """

    __slots__ = ("_loop", "_sock")

    def __init__(self, sock: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        self._sock = sock
        self._loop = loop

    def recv_into(self, buffer: memoryview, limit: int, /) -> int:
        """See ``LocalEnd``."""
        return self._sock.recv_into(buffer, limit)

    def send(self, data: bytes | bytearray | memoryview, /) -> int:
        """See ``LocalEnd``."""
        return self._sock.send(data)

    def sendmsg(self, pieces: Iterable[bytes | bytearray], /) -> int:
        """See ``LocalEnd``."""
        return self._sock.sendmsg(pieces)

    def end(self) -> None:
        """See ``LocalEnd``."""
        self._sock.shutdown(socket.SHUT_WR)

    def on_readable(self, callback: Callable[[], object] | None) -> None:
        """See ``LocalEnd``."""
        if callback is None:
            self._loop.remove_reader(self._sock)
        else:
            self._loop.add_reader(self._sock, callback)

    def on_writable(self, callback: Callable[[], object] | None) -> None:
        """See ``LocalEnd``."""
        if callback is None:
            self._loop.remove_writer(self._sock)
        else:
            self._loop.add_writer(self._sock, callback)

    def absorbable_bytes(self) -> int:
        """See ``LocalEnd``."""
        return sockets.absorbable_bytes(self._sock)

    def drop(self, *, reset: bool) -> None:
        """See ``LocalEnd``."""
        sockets.close(self._sock, reset=reset)
