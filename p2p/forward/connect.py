"""Flows of ours: to a socket, to a part of this program by way of one, or to one without."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from p2p.aio.pair import stream_pair
from p2p.forward import sockets
from p2p.forward.compression import Compression
from p2p.forward.local_end import SocketEnd
from p2p.forward.multiplexer import Multiplexer
from p2p.forward.program_end import ProgramEnd
from p2p.forward.sockets import Addresses
from p2p.proto.tunnel.header import FlowKind


def forward_socket(
    multiplexer: Multiplexer,
    sock: socket.socket,
    service: str = "",
    *,
    addresses: Addresses | None = None,
    kind: FlowKind = FlowKind.STREAM,
) -> None:
    """Forward a local connection.

    Args:
        multiplexer: The session.
        sock: A connected stream socket; it belongs to the flow from here on.
        service: Which service; empty means the session's own.
        addresses: Whose connection it really is; None means the socket's own.
        kind: What its bytes are.

    Raises:
        ForwardError: No flow can be opened now; the socket still belongs to the caller.
    """
    sockets.prepare(sock)
    local = SocketEnd(sock, multiplexer.loop)
    multiplexer.open_flow(local, service, addresses or sockets.socket_addresses(sock), kind)


def connect_flow(
    multiplexer: Multiplexer,
    service: str = "",
    *,
    make_pair: Callable[[], tuple[socket.socket, socket.socket]] = stream_pair,
    compression: Compression | None = None,
) -> socket.socket:
    """Connect to a service of the other side.

    Args:
        multiplexer: The session.
        service: Which service; empty means the session's own.
        make_pair: Makes two connected stream sockets, of which the flow gets the second.
        compression: Compresses its bytes; None leaves them as they are.

    Returns:
        The first of the pair; it is reset when the service cannot be reached.

    Raises:
        ForwardError: No flow can be opened now.
    """
    ours, theirs = make_pair()
    kind = FlowKind.STREAM
    if compression is not None:
        theirs, kind = compression.before(theirs), FlowKind.COMPRESSED
    try:
        forward_socket(multiplexer, theirs, service, kind=kind)
    except BaseException:
        ours.close()
        theirs.close()
        raise
    return ours


def connect_protocol(
    multiplexer: Multiplexer, protocol: asyncio.Protocol, service: str, *, addresses: Addresses
) -> None:
    """Connect a protocol to a service of the other side; its ``connection_made`` is called at once.

    Args:
        multiplexer: The session.
        protocol: Hears of a reset when the service cannot be reached.
        service: Which service; empty means the session's own.
        addresses: Whose connection it really is.

    Raises:
        ForwardError: No flow can be opened now.
    """
    end = ProgramEnd(protocol, multiplexer.loop)
    multiplexer.open_flow(end, service, addresses)
    protocol.connection_made(end)
