"""Puts itself between the flows of an exposer and their services, and reads along."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Final

from p2p.aio.pair import stream_pair
from p2p.aio.tasks import TaskScope
from p2p.forward.datagram_flow import DatagramFlow
from p2p.forward.sockets import close
from p2p.forward.target import DialDone, FlowAcceptor
from p2p.forward.udp_port import DatagramsDone
from p2p.inspect.recording import Recorder
from p2p.inspect.tap import Tap
from p2p.proto.tunnel.codes import StreamCode
from p2p.proto.tunnel.header import StreamHeader

_PIECE_BYTES: Final = 64 << 10


class InspectingAcceptor:
    """Reads along with every connection that another acceptor makes. Datagrams pass unread.

    Args:
        others: Makes the connections.
        recorder: Where exchanges go.
        scope: Where the copying runs.
        used: Told which service is asked for by what name, and of whom.
    """

    def __init__(
        self,
        others: FlowAcceptor,
        recorder: Recorder,
        scope: TaskScope,
        *,
        used: Callable[[str, FlowAcceptor], None],
    ) -> None:
        self._others = others
        self._recorder = recorder
        self._scope = scope
        self._used = used

    def dial(self, header: StreamHeader, done: DialDone) -> Callable[[], None]:
        """See ``FlowAcceptor``."""

        def dialled(result: socket.socket | StreamCode) -> None:
            if not isinstance(result, socket.socket) or not self._scope.is_open:
                done(result)
                return
            near, far = stream_pair()
            visitor = "" if header.origin is None else str(header.origin)
            tap = Tap(self._recorder, service=header.service, visitor=visitor)
            self._used(header.service, self._others)
            self._scope.start(relay(far, result, tap), name="inspection", closing=(far, result))
            done(near)

        return self._others.dial(header, dialled)

    def dial_datagrams(self, header: StreamHeader, flow: DatagramFlow, done: DatagramsDone) -> Callable[[], None]:
        """See ``FlowAcceptor``."""
        return self._others.dial_datagrams(header, flow, done)


async def relay(client: socket.socket, service: socket.socket, tap: Tap) -> None:
    """Copy between two connections until both directions have ended, and have it read along.

    Args:
        client: Who asks; closed at the end.
        service: Who answers; closed at the end.
        tap: Reads along.
    """
    is_broken = True
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_copy(client, service, tap.said))
            group.create_task(_copy(service, client, tap.answered))
        is_broken = False
    except* OSError:
        pass  # a reset on one side is a reset on the other
    finally:
        tap.over()
        for sock in (client, service):
            close(sock, reset=is_broken)


async def _copy(source: socket.socket, destination: socket.socket, read_along: Callable[[bytes], None]) -> None:
    loop = asyncio.get_running_loop()
    while data := await loop.sock_recv(source, _PIECE_BYTES):
        read_along(data)
        await loop.sock_sendall(destination, data)
    read_along(b"")
    with contextlib.suppress(OSError):
        destination.shutdown(socket.SHUT_WR)
