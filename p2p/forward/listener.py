"""The connecting side's end of flows: a local TCP port or Unix socket, open whether a session is up or not."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import deque
from types import TracebackType
from typing import Final, NamedTuple, Self

from p2p import defaults
from p2p.address import TransportAddress
from p2p.errors import ErrorCode, ForwardError
from p2p.forward import sockets
from p2p.forward.compression import Compression
from p2p.forward.connect import forward_socket
from p2p.forward.multiplexer import Multiplexer
from p2p.forward.unix_socket import UnixListener
from p2p.os_errors import NO_DESCRIPTORS, reason_of
from p2p.proto.tunnel.header import FlowKind
from p2p.target import TcpTarget, UnixTarget

logger = logging.getLogger(__name__)

CODE_LISTEN: Final = ErrorCode("P2P-6130", "Choose another address with --listen; 127.0.0.1:0 takes any free port.")


class _Waiting(NamedTuple):
    """A connection that has no flow yet."""

    until: float
    sock: socket.socket
    addresses: sockets.Addresses


class StreamListenerForward:
    """Accepts connections and opens a flow for each.

    While no session is attached, or it can take no more flows, connections wait in order of arrival, a bounded number
    for a bounded time; then they are reset. Sessions may come and go under it.

    Concurrency: one event loop, no task; it listens from the beginning of its ``async with`` block to the end.

    Args:
        place: Where to listen, at an IP address or on a Unix socket; port 0 lets the system choose.
        loop: The event loop.
        service: What to ask the other side for; empty means the session's own service.
        waiting_s: How long a connection waits for a session.
        waiting_limit: How many wait.
        compression: Compresses what the connections say; None leaves it as it is.
    """

    def __init__(
        self,
        place: TcpTarget | UnixTarget,
        *,
        loop: asyncio.AbstractEventLoop,
        service: str = "",
        waiting_s: float = defaults.FORWARD_WAITING_S,
        waiting_limit: int = defaults.FORWARD_WAITING_LIMIT,
        compression: Compression | None = None,
    ) -> None:
        self.service = service
        self.refused = 0
        """Connections that were reset because they waited too long, or too many did."""
        self._place = place
        self._loop = loop
        self._waiting_s = waiting_s
        self._waiting_limit = waiting_limit
        self._socket: socket.socket | None = None
        self._unix: UnixListener | None = None
        self._multiplexer: Multiplexer | None = None
        self._compression = compression
        self._waiting: deque[_Waiting] = deque()
        self._expiry: asyncio.TimerHandle | None = None
        self._pause: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        try:
            if isinstance(self._place, UnixTarget):
                self._unix = UnixListener(self._place)
                self._socket = self._unix.socket
            else:
                host, port = self._place.host, self._place.port
                family = socket.AF_INET6 if ":" in host else socket.AF_INET
                self._socket = socket.create_server((host, port), family=family, backlog=defaults.FORWARD_BACKLOG)
        except OSError as error:
            raise ForwardError(f"cannot listen on {self._place}: {reason_of(error)}", code=CODE_LISTEN) from error
        self._socket.setblocking(False)
        self._loop.add_reader(self._socket, self._accept)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def place(self) -> TcpTarget | UnixTarget:
        """Where it listens, with the port that the system chose.

        Raises:
            ForwardError: It does not listen.
        """
        if self._socket is None:
            raise ForwardError("the listener is not open", code=CODE_LISTEN)
        if isinstance(self._place, UnixTarget):
            return self._place
        return TcpTarget(*TransportAddress.from_socket(self._socket.getsockname()))

    @property
    def waiting_count(self) -> int:
        """How many connections wait for a session."""
        return len(self._waiting)

    def attach(self, multiplexer: Multiplexer) -> None:
        """Give connections to this session from now on, those that wait first.

        Call it as soon as the session has authenticated itself: it takes some flows before it is established.
        """
        self._multiplexer = multiplexer
        self._serve()

    def detach(self) -> None:
        """Have connections wait until the next session is attached; those under way are not touched."""
        self._multiplexer = None

    def close(self) -> None:
        """Stop listening, and reset what waits. A second call does nothing."""
        self._multiplexer = None
        for timer in (self._expiry, self._pause):
            if timer is not None:
                timer.cancel()
        self._expiry = self._pause = None
        while self._waiting:
            self._refuse(self._waiting.popleft().sock)
        if self._socket is not None:
            self._loop.remove_reader(self._socket)
            self._socket.close()
            self._socket = None
        if self._unix is not None:
            self._unix.close()
            self._unix = None

    # --- inside ------------------------------------------------------------------------------------------------

    def _accept(self) -> None:
        assert self._socket is not None
        for _ in range(defaults.FORWARD_ACCEPT_BATCH):
            try:
                sock, _ = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                break
            except OSError as error:
                if error.errno not in NO_DESCRIPTORS:
                    logger.warning("accept on %s failed: %s", self._place, error)
                # The connection stays in the kernel's queue and the socket readable: do not spin.
                self._loop.remove_reader(self._socket)
                self._pause = self._loop.call_later(defaults.FORWARD_DESCRIPTORS_PAUSE_S, self._resume)
                break
            if self._unix is not None and not self._unix.admits(sock):
                logger.warning("connection to %s refused: another user's program", self._place)
                self._refuse(sock)
            elif len(self._waiting) >= self._waiting_limit:
                logger.info("connection refused: %d wait for a session already", len(self._waiting))
                self._refuse(sock)
            else:
                self._waiting.append(self._wait(sock))
        self._serve()

    def _wait(self, sock: socket.socket) -> _Waiting:
        addresses = sockets.socket_addresses(sock)
        until = self._loop.time() + self._waiting_s
        return _Waiting(until, sock if self._compression is None else self._compression.before(sock), addresses)

    @property
    def _kind(self) -> FlowKind:
        return FlowKind.STREAM if self._compression is None else FlowKind.COMPRESSED

    def _resume(self) -> None:
        self._pause = None
        if self._socket is not None:
            self._loop.add_reader(self._socket, self._accept)

    def _serve(self) -> None:
        """Open flows for those that wait, as far as the session takes them."""
        while self._waiting and self._multiplexer is not None:
            first = self._waiting[0]
            try:
                forward_socket(self._multiplexer, first.sock, self.service, addresses=first.addresses, kind=self._kind)
            except ForwardError:
                self._multiplexer.call_on_capacity(self._serve)
                break
            self._waiting.popleft()
        if self._waiting and self._expiry is None:
            self._expiry = self._loop.call_at(self._waiting[0].until, self._expire)

    def _expire(self) -> None:
        self._expiry = None
        now = self._loop.time()
        while self._waiting and self._waiting[0].until <= now:
            logger.info("connection refused: no session within %g s", self._waiting_s)
            self._refuse(self._waiting.popleft().sock)
        if self._waiting:
            self._expiry = self._loop.call_at(self._waiting[0].until, self._expire)

    def _refuse(self, sock: socket.socket) -> None:
        self.refused += 1
        sockets.close(sock, reset=True)
