"""Standard input and output as one flow, for ``ProxyCommand`` and pipes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from p2p import defaults
from p2p.forward.compression import Compression
from p2p.forward.connect import connect_flow
from p2p.forward.multiplexer import Multiplexer

_STDIN: Final = 0
_STDOUT: Final = 1


class StdioFlow:
    """Copies between a pair of file descriptors and a flow.

    Two threads do it with blocking calls: standard input may be a regular file or ``/dev/null``, which no event loop
    can wait for, and a terminal or pipe is often shared with other programs, which would all find it non-blocking.
    The flow itself gets one end of a socket pair and is like any other: half-close, backpressure and resets come with
    it.

    Concurrency: the threads live from ``open`` to the end of both directions; one that waits for input that never
    comes does not keep the process alive.

    Args:
        loop: The event loop.
        stdin: Where the flow's bytes come from.
        stdout: Where they go. It becomes ``/dev/null`` when the other side has said all, so that the reader sees the
            end.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, *, stdin: int = _STDIN, stdout: int = _STDOUT) -> None:
        self._loop = loop
        self._stdin = stdin
        self._stdout = stdout
        self._socket: socket.socket | None = None
        self._input_over = asyncio.Event()
        self._output_over = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def open(self, multiplexer: Multiplexer, service: str = "", compression: Compression | None = None) -> None:
        """Begin the flow and the copying.

        Args:
            multiplexer: The session; it must take a flow now.
            service: What to ask the other side for; empty means the session's own service.
            compression: Compresses the bytes; None leaves them as they are.

        Raises:
            ForwardError: The session takes no flow.
        """
        # A socket pair blocks, as the threads want it.
        ours = connect_flow(multiplexer, service, make_pair=socket.socketpair, compression=compression)
        self._socket = ours
        for copy, over in ((self._copy_in, self._input_over), (self._copy_out, self._output_over)):
            threading.Thread(target=self._run, args=(copy, ours, over), name="stdio", daemon=True).start()

    async def wait_closed(self) -> None:
        """Wait until both directions are over; with a person at the terminal, until the other side has said all."""
        await self._output_over.wait()
        if not os.isatty(self._stdin):
            await self._input_over.wait()

    def close(self) -> None:
        """Give the flow up; bytes that were not copied are lost. A second call does nothing."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            self._socket.close()
            self._socket = None

    # --- in the threads ----------------------------------------------------------------------------------------

    def _run(self, copy: Callable[[socket.socket], None], sock: socket.socket, over: asyncio.Event) -> None:
        try:
            copy(sock)
        except OSError:  # the flow was reset, the program behind the descriptor is gone, or close was called
            if over is self._output_over:
                self._tell(self._input_over)  # whoever writes to us may never write again
        self._tell(over)

    def _tell(self, over: asyncio.Event) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            self._loop.call_soon_threadsafe(over.set)

    def _copy_in(self, sock: socket.socket) -> None:
        try:
            while data := _read(self._stdin):
                sock.sendall(data)
        finally:
            sock.shutdown(socket.SHUT_WR)

    def _copy_out(self, sock: socket.socket) -> None:
        try:
            while data := sock.recv(defaults.STDIO_CHUNK_BYTES):
                _write(self._stdout, data)
        except OSError:
            sock.shutdown(socket.SHUT_RDWR)  # nobody hears the other side any more: the flow is over
            raise
        finally:
            # The descriptor itself stays taken: a stray print must not reach whatever is opened next.
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._stdout)
            os.close(null)


def _read(descriptor: int) -> bytes:
    while True:
        try:
            return os.read(descriptor, defaults.STDIO_CHUNK_BYTES)
        except BlockingIOError:  # another program that shares it has made it non-blocking
            select.select([descriptor], [], [])


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            select.select([], [descriptor], [])
