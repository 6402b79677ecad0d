"""Flows whose bytes are compressed on the way, for lines that are slower than the processor."""

from __future__ import annotations

import asyncio
import logging
import socket
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import TracebackType
from typing import Final, Self

from p2p.aio.pair import stream_pair
from p2p.aio.tasks import TaskScope
from p2p.defaults import COMPRESSION_LEVEL, COMPRESSION_PIECE_BYTES
from p2p.forward import sockets
from p2p.forward.datagram_flow import DatagramFlow
from p2p.forward.target import DialDone, FlowAcceptor
from p2p.forward.udp_port import DatagramsDone
from p2p.proto.tunnel.codes import StreamCode
from p2p.proto.tunnel.header import FlowKind, StreamHeader

logger = logging.getLogger(__name__)

_RAW_DEFLATE: Final = -zlib.MAX_WBITS
"""Without the checksum of zlib's format: QUIC has a better one."""


class Compression:
    """Puts itself between plain connections and the flows that carry them compressed.

    Both directions are DEFLATE (RFC 1951), each a stream of its own, flushed whenever the sender pauses, and ended
    behind its last byte: a stream that stops before its end is a connection that was reset.

    Concurrency: one event loop, two tasks for each connection, all within the ``async with`` block.

    Args:
        at_most: How many connections at once; each has up to 0.4 MB here. None for any number.
    """

    def __init__(self, *, at_most: int | None = None) -> None:
        self._at_most = at_most
        self._open = 0
        self._scope = TaskScope()

    async def __aenter__(self) -> Self:
        await self._scope.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._scope.__aexit__(None, None, None)

    @property
    def is_full(self) -> bool:
        """Whether there are as many connections as there may be."""
        return self._at_most is not None and self._open >= self._at_most

    def before(self, plain: socket.socket) -> socket.socket:
        """Compress a connection from now on.

        Args:
            plain: The connection; it belongs to the compression from here on.

        Returns:
            What to give to a flow in its place.
        """
        sockets.prepare(plain)
        near, far = stream_pair()
        self._open += 1
        self._scope.start(self._join(plain, near), name="compression", closing=(plain, near))
        return far

    async def _join(self, plain: socket.socket, packed: socket.socket) -> None:
        is_broken = True
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(_compress(plain, packed))
                both.create_task(_decompress(packed, plain))
            is_broken = False
        except* (OSError, zlib.error) as errors:
            logger.info("compressed connection ended: %s", errors.exceptions[0])
        finally:
            self._open -= 1
            for sock in (plain, packed):
                sockets.close(sock, reset=is_broken)


class CompressionAcceptor:
    """Decompresses the flows that come compressed, and has another acceptor connect all.

    Args:
        others: Makes the connections.
        compression: Puts itself between.
    """

    def __init__(self, others: FlowAcceptor, compression: Compression) -> None:
        self._others = others
        self._compression = compression

    def dial(self, header: StreamHeader, done: DialDone) -> Callable[[], None]:
        """See ``FlowAcceptor``."""
        if header.kind != FlowKind.COMPRESSED:
            return self._others.dial(header, done)

        def dialled(result: socket.socket | StreamCode) -> None:
            if not isinstance(result, socket.socket):
                done(result)
            elif self._compression.is_full:
                sockets.close(result, reset=True)
                done(StreamCode.TOO_MANY_FLOWS)
            else:
                done(self._compression.before(result))

        return self._others.dial(replace(header, kind=FlowKind.STREAM), dialled)

    def dial_datagrams(self, header: StreamHeader, flow: DatagramFlow, done: DatagramsDone) -> Callable[[], None]:
        """See ``FlowAcceptor``."""
        return self._others.dial_datagrams(header, flow, done)


async def _compress(source: socket.socket, sink: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    compressor = zlib.compressobj(COMPRESSION_LEVEL, zlib.DEFLATED, _RAW_DEFLATE)
    while data := await loop.sock_recv(source, COMPRESSION_PIECE_BYTES):
        await loop.sock_sendall(sink, compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH))
    with _taker_that_left():
        await loop.sock_sendall(sink, compressor.flush())
        sink.shutdown(socket.SHUT_WR)


async def _decompress(source: socket.socket, sink: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    decompressor = zlib.decompressobj(_RAW_DEFLATE)
    while data := await loop.sock_recv(source, COMPRESSION_PIECE_BYTES):
        # A little may become a thousand times as much: never more at once than a piece.
        while data:
            piece = decompressor.decompress(data, COMPRESSION_PIECE_BYTES)
            data = decompressor.unconsumed_tail
            try:
                await loop.sock_sendall(sink, piece)
            except OSError:
                # It may have answered early and closed: the answer goes first.
                await _discard(source)
                raise
        if decompressor.unused_data:
            raise zlib.error("bytes behind the end of the stream")
    if not decompressor.eof:
        raise ConnectionResetError("the stream stopped before its end")
    with _taker_that_left():
        sink.shutdown(socket.SHUT_WR)


async def _discard(source: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    while await loop.sock_recv(source, COMPRESSION_PIECE_BYTES):
        pass


@contextmanager
def _taker_that_left() -> Iterator[None]:
    """Who has closed its connection needs not hear that there is no more."""
    try:
        yield
    except OSError as error:
        logger.debug("no end could be told: %s", error)
