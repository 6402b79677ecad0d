"""The exposing side's end of a flow: a connection to the service, without a task for each."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final, Protocol, TypeAlias

from p2p import defaults
from p2p.forward import sockets
from p2p.forward.datagram_flow import DatagramFlow
from p2p.forward.resolve import Resolver, SocketAddress
from p2p.forward.udp_port import DatagramsDone, UdpAttempt
from p2p.os_errors import NO_DESCRIPTORS
from p2p.proto.tunnel.codes import StreamCode
from p2p.proto.tunnel.header import FlowKind, StreamHeader
from p2p.target import Target, UdpTarget, UnixTarget

DialDone: TypeAlias = Callable[[socket.socket | StreamCode], None]
"""Called once with the connection, or with why there is none."""

_IN_PROGRESS: Final = frozenset({errno.EINPROGRESS, errno.EAGAIN, errno.EALREADY})


class FlowAcceptor(Protocol):
    """Makes the local connection for a flow that the other side opened."""

    def dial(self, header: StreamHeader, done: DialDone) -> Callable[[], None]:
        """Begin to connect.

        Args:
            header: What the other side asks for.
            done: May be called before this returns.

        Returns:
            What to call to give up; harmless once ``done`` was called.
        """
        ...

    def dial_datagrams(self, header: StreamHeader, flow: DatagramFlow, done: DatagramsDone) -> Callable[[], None]:
        """Begin to make the local end of a flow of datagrams.

        Args:
            header: What the other side asks for.
            flow: Takes what the local end receives.
            done: Called once with the local end, or with why there is none; perhaps before this returns.

        Returns:
            What to call to give up; harmless once ``done`` was called.
        """
        ...


class ServiceDialer:
    """Connects flows to services.

    Give each session only the services that its peer was let in for: a header may name any of them.

    Args:
        targets: Where each service is. A header without a service means the only one there is.
        loop: The event loop.
        timeout_s: How long to try.
    """

    def __init__(
        self,
        targets: Mapping[str, Target],
        loop: asyncio.AbstractEventLoop,
        *,
        timeout_s: float = defaults.FORWARD_DIAL_TIMEOUT_S,
    ) -> None:
        self._targets = dict(targets)
        self._loop = loop
        self._timeout_s = timeout_s
        self._resolver = Resolver(loop)

    def dial(self, header: StreamHeader, done: DialDone) -> Callable[[], None]:
        """Begin to connect to the header's service; see ``FlowAcceptor``."""
        if header.kind != FlowKind.STREAM:
            done(StreamCode.KIND_UNSUPPORTED)
            return _nothing
        target = self._find(header)
        if target is None:
            done(StreamCode.SERVICE_UNKNOWN)
            return _nothing
        if isinstance(target, UdpTarget):
            done(StreamCode.KIND_UNSUPPORTED)
            return _nothing
        attempt = _Attempt(self._loop, self._timeout_s, done)
        if isinstance(target, UnixTarget):
            attempt.connect([(socket.AF_UNIX, target.address)])
        else:
            self._resolver.find(target.host, target.port, socket.SOCK_STREAM, attempt.connect)
        return attempt.cancel

    def dial_datagrams(self, header: StreamHeader, flow: DatagramFlow, done: DatagramsDone) -> Callable[[], None]:
        """Begin to reach the header's service; see ``FlowAcceptor``."""
        target = self._find(header)
        if target is None:
            done(StreamCode.SERVICE_UNKNOWN)
            return _nothing
        if not isinstance(target, UdpTarget):
            done(StreamCode.KIND_UNSUPPORTED)
            return _nothing
        attempt = UdpAttempt(self._loop, flow, done)
        self._resolver.find(target.host, target.port, socket.SOCK_DGRAM, attempt.connect)
        return attempt.cancel

    def _find(self, header: StreamHeader) -> Target | None:
        target = self._targets.get(header.service)
        if target is None and not header.service and len(self._targets) == 1:
            target = next(iter(self._targets.values()))
        return target


class _Attempt:
    """One connection being made: addresses are tried one by one, the next beside the last if that one is slow.

    Source: RFC 8305 section 5.
    """

    __slots__ = ("_deadline", "_done", "_failure", "_left", "_loop", "_next", "_open")

    def __init__(self, loop: asyncio.AbstractEventLoop, timeout_s: float, done: DialDone) -> None:
        self._loop = loop
        self._done: DialDone | None = done
        self._open: set[socket.socket] = set()
        self._left: deque[SocketAddress] = deque()
        self._failure = StreamCode.FORWARD_UNREACHABLE
        self._next: asyncio.TimerHandle | None = None
        self._deadline = loop.call_later(timeout_s, self.fail, StreamCode.FORWARD_TIMEOUT)

    def connect(self, addresses: list[SocketAddress]) -> None:
        """Try these addresses; there are none for a name that does not resolve."""
        if not addresses:
            self.fail(StreamCode.FORWARD_NAME_UNKNOWN)
        elif self._done is not None:
            self._left.extend(addresses)
            self._try_next()

    def fail(self, code: StreamCode) -> None:
        """Give up and say why."""
        done = self._done
        self.cancel()
        if done is not None:
            done(code)

    def cancel(self) -> None:
        """Give up."""
        self._done = None
        self._deadline.cancel()
        if self._next is not None:
            self._next.cancel()
        while self._open:
            sock = self._open.pop()
            self._loop.remove_writer(sock)
            sock.close()

    def _try_next(self) -> None:
        if self._next is not None:
            self._next.cancel()
            self._next = None
        while self._left and self._done is not None:
            family, address = self._left.popleft()
            try:
                sock = socket.socket(family, socket.SOCK_STREAM)
            except OSError as error:
                self._failure = _code_of(error.errno)
                continue
            try:
                sockets.prepare(sock)
                result = sock.connect_ex(address)
            except OSError as error:
                result = error.errno or errno.EINVAL
            if result == 0:
                self._succeed(sock)
            elif result in _IN_PROGRESS and family != socket.AF_UNIX:
                self._open.add(sock)
                self._loop.add_writer(sock, self._settled, sock)
                if self._left:
                    self._next = self._loop.call_later(defaults.FORWARD_DIAL_STAGGER_S, self._try_next)
                return
            else:
                self._failure = _code_of(result)
                sock.close()
        if self._done is not None and not self._open:
            self.fail(self._failure)

    def _settled(self, sock: socket.socket) -> None:
        self._loop.remove_writer(sock)
        self._open.discard(sock)
        result = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if result == 0:
            self._succeed(sock)
            return
        self._failure = _code_of(result)
        sock.close()
        self._try_next()

    def _succeed(self, sock: socket.socket) -> None:
        done = self._done
        assert done is not None
        self.cancel()
        done(sock)


def _code_of(error_number: int | None) -> StreamCode:
    match error_number:
        case errno.ECONNREFUSED | errno.ENOENT | errno.ECONNRESET:
            return StreamCode.FORWARD_REFUSED
        case errno.ETIMEDOUT:
            return StreamCode.FORWARD_TIMEOUT
        case number if number in NO_DESCRIPTORS:
            return StreamCode.TOO_MANY_FLOWS
        case _:
            return StreamCode.FORWARD_UNREACHABLE


def _nothing() -> None:
    """There is nothing to cancel."""
