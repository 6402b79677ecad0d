"""Telling a service who connects, before the first byte: the PROXY protocol on connections of the exposing side."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable

from p2p.forward import sockets
from p2p.forward.datagram_flow import DatagramFlow
from p2p.forward.target import DialDone, FlowAcceptor
from p2p.forward.udp_port import DatagramsDone
from p2p.proto.tunnel.codes import StreamCode
from p2p.proto.tunnel.header import StreamHeader


class AnnouncingAcceptor:
    """Sends something to the service on each connection that another acceptor makes, ahead of the flow's bytes.

    Flows of datagrams get nothing: hardly any service takes a PROXY header there.

    Args:
        others: Makes the connections.
        announce: Makes what is sent, at the moment a flow is connected; a few hundred bytes.
    """

    def __init__(self, others: FlowAcceptor, announce: Callable[[StreamHeader], bytes]) -> None:
        self._others = others
        self._announce = announce

    def dial(self, header: StreamHeader, done: DialDone) -> Callable[[], None]:
        """See ``FlowAcceptor``."""

        def dialled(result: socket.socket | StreamCode) -> None:
            done(self._announced(result, header) if isinstance(result, socket.socket) else result)

        return self._others.dial(header, dialled)

    def dial_datagrams(self, header: StreamHeader, flow: DatagramFlow, done: DatagramsDone) -> Callable[[], None]:
        """See ``FlowAcceptor``."""
        return self._others.dial_datagrams(header, flow, done)

    def _announced(self, sock: socket.socket, header: StreamHeader) -> socket.socket | StreamCode:
        announcement = self._announce(header)
        with contextlib.suppress(OSError):
            # The buffer of a new connection is empty, so that all of it fits.
            if sock.send(announcement) == len(announcement):
                return sock
        sockets.close(sock, reset=True)
        return StreamCode.FORWARD_REFUSED
