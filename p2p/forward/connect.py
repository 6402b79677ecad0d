"""Flows whose local end is this program itself."""

from __future__ import annotations

import socket
from collections.abc import Callable

from p2p.aio.pair import stream_pair
from p2p.forward.compression import Compression
from p2p.forward.multiplexer import Multiplexer
from p2p.forward.sockets import Addresses
from p2p.proto.tunnel.header import FlowKind


def connect_flow(
    multiplexer: Multiplexer,
    service: str = "",
    *,
    addresses: Addresses | None = None,
    make_pair: Callable[[], tuple[socket.socket, socket.socket]] = stream_pair,
    compression: Compression | None = None,
) -> socket.socket:
    """Connect to a service of the other side.

    Args:
        multiplexer: The session.
        service: Which service; empty means the session's own.
        addresses: Whose connection it really is; None means the pair's own.
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
        multiplexer.open_flow(theirs, service, addresses=addresses, kind=kind)
    except BaseException:
        ours.close()
        theirs.close()
        raise
    return ours
