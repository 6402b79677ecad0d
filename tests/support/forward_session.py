"""Both sides of a forwarding session over a fake connection, ready to open flows."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence

from p2p.defaults import FORWARD_UDP_IDLE_S
from p2p.errors import ForwardError, P2PError
from p2p.forward.connect import forward_socket
from p2p.forward.datagram_flow import DatagramFlow
from p2p.forward.listener import StreamListenerForward
from p2p.forward.multiplexer import Multiplexer
from p2p.forward.target import FlowAcceptor
from p2p.proto.tunnel.codes import StreamCode
from p2p.proto.tunnel.control import PROTOCOL_VERSIONS, Role
from p2p.proto.tunnel.frames import AuthRequest, Hello
from p2p.proto.tunnel.header import StreamHeader
from p2p.target import TcpTarget
from tests.support.fake_quic import FakeTransport

HELLO = Hello(PROTOCOL_VERSIONS, "test", frozenset({"tcp"}))
REQUEST = AuthRequest(b"proof", "web", b"t" * 32)


class RecordingObserver:
    """Notes what it hears; lets everybody in unless told otherwise."""

    def __init__(self, role: Role) -> None:
        self.multiplexer: Multiplexer
        self.verdict: Callable[[Multiplexer], None] | None = Multiplexer.accept
        self.authenticates = role is Role.DIALER
        self.heard: list[str] = []
        self.requests: list[AuthRequest] = []
        self.errors: list[P2PError] = []
        self.flow_errors: list[ForwardError] = []

    def handshake_completed(self) -> None:
        self.heard.append("handshake_completed")
        if self.authenticates:
            self.multiplexer.authenticate(REQUEST)

    def auth_requested(self, request: AuthRequest) -> None:
        self.heard.append("auth_requested")
        self.requests.append(request)
        if self.verdict is not None:
            self.verdict(self.multiplexer)

    def established(self) -> None:
        self.heard.append("established")

    def drain_requested(self) -> None:
        self.heard.append("drain_requested")

    def flow_failed(self, error: ForwardError) -> None:
        self.heard.append("flow_failed")
        self.flow_errors.append(error)

    def closed(self, error: P2PError) -> None:
        self.heard.append("closed")
        self.errors.append(error)


class RecordingPort:
    """The local end of a flow of datagrams, whose program is the test."""

    def __init__(self, room: int = 1 << 30) -> None:
        self.room = room
        self.dropped = 0
        self.got: list[bytes] = []
        self.batches = 0
        self.closed: bool | None = None
        """None while open, then whether it was a reset."""

    def send(self, datagrams: Sequence[bytes]) -> int:
        taken = datagrams[: self.room]
        self.got += taken
        self.batches += 1
        return len(taken)

    def close(self, *, reset: bool) -> None:
        assert self.closed is None
        self.closed = reset


class PairAcceptor:
    """Connects flows to socket pairs, whose other ends the test has."""

    def __init__(self) -> None:
        self.headers: list[StreamHeader] = []
        self.sockets: list[socket.socket] = []
        self.pending: list[Callable[[socket.socket], None]] = []
        self.hold = False
        self.flows: list[DatagramFlow] = []
        self.ports: list[RecordingPort] = []
        self.refuse_datagrams: StreamCode | None = None
        self.cancelled = 0

    def dial(self, header: StreamHeader, done: Callable[..., None]) -> Callable[[], None]:
        self.headers.append(header)
        if self.hold:
            self.pending.append(done)
        else:
            self.connect(done)
        return self._cancel

    def dial_datagrams(self, header: StreamHeader, flow: DatagramFlow, done: Callable[..., None]) -> Callable[[], None]:
        self.headers.append(header)
        if self.refuse_datagrams is not None:
            done(self.refuse_datagrams)
        elif self.hold:
            self.pending.append(done)
        else:
            self.flows.append(flow)
            self.ports.append(port := RecordingPort())
            done(port)
        return self._cancel

    def connect(self, done: Callable[..., None]) -> None:
        ours, theirs = tcp_pair()
        self.sockets.append(ours)
        done(theirs)

    def _cancel(self) -> None:
        self.cancelled += 1


class Session:
    """A dialer and an exposer; an async context manager that closes everything it made."""

    def __init__(
        self,
        acceptor: FlowAcceptor | None = None,
        *,
        datagram_idle_s: float = FORWARD_UDP_IDLE_S,
        **options: float,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.dialer_transport, self.exposer_transport = FakeTransport.pair(self.loop, **options)
        self.dialer_observer = RecordingObserver(Role.DIALER)
        self.exposer_observer = RecordingObserver(Role.EXPOSER)
        self.acceptor = PairAcceptor()
        self.dialer = Multiplexer(
            self.dialer_transport,
            Role.DIALER,
            HELLO,
            self.dialer_observer,
            loop=self.loop,
            datagram_idle_s=datagram_idle_s,
        )
        self.exposer = Multiplexer(
            self.exposer_transport,
            Role.EXPOSER,
            HELLO,
            self.exposer_observer,
            loop=self.loop,
            acceptor=acceptor or self.acceptor,
            datagram_idle_s=datagram_idle_s,
        )
        self.dialer_transport.handler, self.exposer_transport.handler = self.dialer, self.exposer
        self.dialer_observer.multiplexer, self.exposer_observer.multiplexer = self.dialer, self.exposer
        self.local: list[socket.socket] = []
        self.waits_for_verdict = True

    async def __aenter__(self) -> Session:
        self.dialer_transport.complete_handshake()
        if self.waits_for_verdict:
            await until(lambda: "established" in self.dialer_observer.heard or bool(self.dialer_observer.errors))
        return self

    async def __aexit__(self, *_: object) -> None:
        self.dialer.close()
        self.exposer.close()
        for sock in (*self.local, *self.acceptor.sockets):
            sock.close()
        await turns(4)

    def open(self) -> socket.socket:
        """Open a flow and return the program's end of its local connection."""
        ours, theirs = tcp_pair()
        self.local.append(ours)
        try:
            forward_socket(self.dialer, theirs)
        except ForwardError:
            theirs.close()
            raise
        return ours

    async def open_both(self) -> tuple[socket.socket, socket.socket]:
        """Open a flow and return the ends of the client program and of the service."""
        count = len(self.acceptor.sockets)
        ours = self.open()
        await until(lambda: len(self.acceptor.sockets) > count)
        return ours, self.acceptor.sockets[count]


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    """Make two ends of a TCP connection, both non-blocking."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        one = socket.create_connection(server.getsockname())
        other, _ = server.accept()
    one.setblocking(False)
    other.setblocking(False)
    return one, other


async def turns(count: int) -> None:
    """Let the event loop turn some times."""
    for _ in range(count):
        await asyncio.sleep(0)


def connect(listener: StreamListenerForward) -> socket.socket:
    """Connect to where a listener accepts TCP connections."""
    place = listener.place
    assert isinstance(place, TcpTarget)
    return socket.create_connection((place.host, place.port))


async def until(condition: Callable[[], bool], timeout_s: float = 5.0) -> None:
    """Let the event loop run until something is true."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0)


async def read_all(sock: socket.socket) -> bytes:
    """Read to the end of a non-blocking socket."""
    loop = asyncio.get_running_loop()
    data = bytearray()
    while piece := await loop.sock_recv(sock, 1 << 16):
        data += piece
    return bytes(data)


async def read_exactly(sock: socket.socket, length: int) -> bytes:
    """Read so many bytes of a non-blocking socket."""
    loop = asyncio.get_running_loop()
    data = bytearray()
    while len(data) < length and (piece := await loop.sock_recv(sock, length - len(data))):
        data += piece
    return bytes(data)
