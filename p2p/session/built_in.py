"""The services that an exposer has built in, beside the one that it was asked to expose."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from p2p.forward.datagram_flow import DatagramFlow
from p2p.forward.target import DialDone, FlowAcceptor
from p2p.forward.udp_port import DatagramsDone
from p2p.proto.bench import BENCH_SERVICE
from p2p.proto.tunnel.codes import StreamCode
from p2p.proto.tunnel.header import FlowKind, StreamHeader
from p2p.services.bench import BenchService
from p2p.session.options import ExposeOptions


class BuiltInServices:
    """What of it the options permit, for all sessions of an exposer.

    Concurrency: one event loop; ``close`` ends what is under way.

    Args:
        options: What is permitted.
        loop: The event loop.
    """

    def __init__(self, options: ExposeOptions, loop: asyncio.AbstractEventLoop) -> None:
        self._bench = BenchService(loop) if options.allow_bench else None
        self._connects: dict[str, Callable[[], socket.socket | None]] = {}
        if self._bench is not None:
            self._connects[BENCH_SERVICE] = self._bench.connect

    def before(self, acceptor: FlowAcceptor) -> FlowAcceptor:
        """Make an acceptor that takes flows to these services, and gives all others to the one named."""
        return _Acceptor(self._connects, acceptor)

    def close(self) -> None:
        """End what is under way. A second call does nothing."""
        if self._bench is not None:
            self._bench.close()


class _Acceptor:
    """Sorts flows by their service."""

    def __init__(self, connects: dict[str, Callable[[], socket.socket | None]], others: FlowAcceptor) -> None:
        self._connects = connects
        self._others = others

    def dial(self, header: StreamHeader, done: DialDone) -> Callable[[], None]:
        """See ``FlowAcceptor``."""
        connect = self._connects.get(header.service)
        if connect is None or header.kind != FlowKind.STREAM:
            return self._others.dial(header, done)
        done(connect() or StreamCode.TOO_MANY_FLOWS)
        return lambda: None

    def dial_datagrams(self, header: StreamHeader, flow: DatagramFlow, done: DatagramsDone) -> Callable[[], None]:
        """See ``FlowAcceptor``; nothing built in takes datagrams."""
        return self._others.dial_datagrams(header, flow, done)
