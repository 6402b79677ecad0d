"""Two ends of a real QUIC connection over UDP sockets of this machine, with a multiplexer at each end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from p2p.address import TransportAddress
from p2p.aio.udp import UdpSocket
from p2p.forward.multiplexer import Multiplexer
from p2p.forward.target import FlowAcceptor
from p2p.proto.tunnel.control import Role
from p2p.quic import CidRouter, EngineConfig, QuicConnection, load_engine
from tests.support.forward_session import HELLO, RecordingObserver, until
from tests.support.quic_credentials import credentials, public_key

CONFIG = EngineConfig(packet_bytes=1350)


class LoopbackEnd:
    """A UDP socket with one QUIC connection on it, sending to one address: a path manager for tests."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.router = CidRouter()
        self.destination: TransportAddress | None = None
        self.outage = False
        self.socket = UdpSocket(
            loop, TransportAddress("127.0.0.1", 0), on_batch=self._batch, on_drained=self.router.after_receive
        )
        self.connection: QuicConnection

    def send(self, datagrams: Sequence[bytes]) -> int:
        """See ``DatagramLink``."""
        if self.destination is None or self.outage:
            return len(datagrams)
        return self.socket.send(datagrams, self.destination)

    def call_when_writable(self, callback: Callable[[], object]) -> None:
        """See ``DatagramLink``."""
        self.socket.call_when_writable(callback)

    def packets_lost(self) -> None:
        """See ``DatagramLink``; there is only one path."""

    def attach(self, connection: QuicConnection) -> None:
        """Route packets to this connection, and start it."""
        self.connection = connection
        self.router.attach(connection)
        connection.start()

    def close(self) -> None:
        """Close the connection and the socket."""
        self.connection.close()
        self.socket.close()

    def _batch(self, buffer: bytes, segment_size: int, source: TransportAddress, now: float) -> None:
        if not self.outage:
            self.destination = self.destination or source
            self.router.receive(buffer, segment_size, now)


class LoopbackSession:
    """A dialer and an exposer in one process; an async context manager."""

    def __init__(self, acceptor: FlowAcceptor, *, dialer_engine: str = "qh3", exposer_engine: str = "qh3") -> None:
        loop = asyncio.get_running_loop()
        self.dialer_end, self.exposer_end = LoopbackEnd(loop), LoopbackEnd(loop)
        self.dialer_end.destination = self.exposer_end.socket.local_address
        client = load_engine(dialer_engine).client(CONFIG)
        server = load_engine(exposer_engine).server(CONFIG, credentials(), client.initial_destination_cid)
        self.client = QuicConnection(loop, client, self.dialer_end, peer_public_key=public_key())
        self.server = QuicConnection(loop, server, self.exposer_end, peer_public_key=None)
        self.dialer_observer = RecordingObserver(Role.DIALER)
        self.exposer_observer = RecordingObserver(Role.EXPOSER)
        self.dialer = Multiplexer(self.client, Role.DIALER, HELLO, self.dialer_observer, loop=loop)
        self.exposer = Multiplexer(
            self.server, Role.EXPOSER, HELLO, self.exposer_observer, loop=loop, acceptor=acceptor
        )
        self.client.handler, self.server.handler = self.dialer, self.exposer
        self.dialer_observer.multiplexer, self.exposer_observer.multiplexer = self.dialer, self.exposer

    async def __aenter__(self) -> LoopbackSession:
        self.exposer_end.attach(self.server)
        self.dialer_end.attach(self.client)
        await until(lambda: "established" in self.dialer_observer.heard)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.dialer.close()
        self.exposer.close()
        await self.client.wait_closed()
        await self.server.wait_closed()
        self.dialer_end.close()
        self.exposer_end.close()
