"""The exposing side's end of a flow: a connection to the service, without a task for each."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import socket
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

from p2p import defaults
from p2p.forward import sockets
from p2p.proto.tunnel.codes import StreamCode
from p2p.proto.tunnel.header import FlowKind, StreamHeader

DialDone: TypeAlias = Callable[[socket.socket | StreamCode], None]
"""Called once with the connection, or with why there is none."""

_SockAddr: TypeAlias = tuple[socket.AddressFamily, Any]
_IN_PROGRESS: Final = frozenset({errno.EINPROGRESS, errno.EAGAIN, errno.EALREADY})
_NO_DESCRIPTORS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


@dataclass(frozen=True, slots=True)
class TcpTarget:
    """A TCP service."""

    host: str
    """A host name or an IP address."""
    port: int
    """1 to 65,535."""


@dataclass(frozen=True, slots=True)
class UnixTarget:
    """A service on a Unix domain socket."""

    path: str
    """The socket's file."""


Target: TypeAlias = TcpTarget | UnixTarget


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
        self._resolved: dict[TcpTarget, tuple[float, list[_SockAddr]]] = {}

    def dial(self, header: StreamHeader, done: DialDone) -> Callable[[], None]:
        """Begin to connect to the header's service; see ``FlowAcceptor``."""
        if header.kind != FlowKind.STREAM:
            done(StreamCode.KIND_UNSUPPORTED)
            return _nothing
        target = self._targets.get(header.service)
        if target is None and not header.service and len(self._targets) == 1:
            target = next(iter(self._targets.values()))
        if target is None:
            done(StreamCode.SERVICE_UNKNOWN)
            return _nothing
        attempt = _Attempt(self._loop, self._timeout_s, done)
        if isinstance(target, UnixTarget):
            attempt.connect([(socket.AF_UNIX, target.path)])
        else:
            self._resolve(target, attempt)
        return attempt.cancel

    def _resolve(self, target: TcpTarget, attempt: _Attempt) -> None:
        now = self._loop.time()
        known = self._resolved.get(target)
        if known is not None and now < known[0]:
            attempt.connect(known[1])
            return
        with contextlib.suppress(ValueError):
            address = ipaddress.ip_address(target.host)
            family = socket.AF_INET if address.version == 4 else socket.AF_INET6
            attempt.connect([(family, (target.host, target.port))])
            return

        def resolved(future: asyncio.Future[list[_SockAddr]]) -> None:
            if future.cancelled():
                return
            if future.exception() is not None:
                attempt.fail(StreamCode.FORWARD_NAME_UNKNOWN)
                return
            self._resolved[target] = (self._loop.time() + defaults.FORWARD_NAME_TTL_S, future.result())
            attempt.connect(future.result())

        self._loop.run_in_executor(None, _look_up, target).add_done_callback(resolved)


class _Attempt:
    """One connection being made: addresses are tried one by one, the next beside the last if that one is slow.

    Source: RFC 8305 section 5.
    """

    __slots__ = ("_deadline", "_done", "_failure", "_left", "_loop", "_next", "_open")

    def __init__(self, loop: asyncio.AbstractEventLoop, timeout_s: float, done: DialDone) -> None:
        self._loop = loop
        self._done: DialDone | None = done
        self._open: set[socket.socket] = set()
        self._left: deque[_SockAddr] = deque()
        self._failure = StreamCode.FORWARD_UNREACHABLE
        self._next: asyncio.TimerHandle | None = None
        self._deadline = loop.call_later(timeout_s, self.fail, StreamCode.FORWARD_TIMEOUT)

    def connect(self, addresses: list[_SockAddr]) -> None:
        """Try these addresses."""
        if self._done is not None:
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


def _look_up(target: TcpTarget) -> list[_SockAddr]:
    found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    return [(family, address) for family, _, _, _, address in found]


def _code_of(error_number: int | None) -> StreamCode:
    match error_number:
        case errno.ECONNREFUSED | errno.ENOENT | errno.ECONNRESET:
            return StreamCode.FORWARD_REFUSED
        case errno.ETIMEDOUT:
            return StreamCode.FORWARD_TIMEOUT
        case number if number in _NO_DESCRIPTORS:
            return StreamCode.TOO_MANY_FLOWS
        case _:
            return StreamCode.FORWARD_UNREACHABLE


def _nothing() -> None:
    """There is nothing to cancel."""
