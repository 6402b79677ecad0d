"""The exposing side's end of a flow of datagrams: a socket connected to the service."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import TypeAlias

from p2p import defaults
from p2p.address import TransportAddress
from p2p.aio.udp import UdpSocket
from p2p.errors import ConnectivityError
from p2p.forward.datagram_flow import DatagramFlow, DatagramPort
from p2p.forward.resolve import SocketAddress
from p2p.os_errors import NO_DESCRIPTORS
from p2p.proto.tunnel.codes import StreamCode, stream_error

logger = logging.getLogger(__name__)

DatagramsDone: TypeAlias = Callable[[DatagramPort | StreamCode], None]
"""Called once with the local end of a flow of datagrams, or with why there is none."""

_ANY_IPV4 = TransportAddress("0.0.0.0", 0)  # noqa: S104 -- connected at once, so it takes datagrams of one address only
_ANY_IPV6 = TransportAddress("::", 0)


class UdpAttempt:
    """Makes a ``UdpPort`` as soon as the service's addresses are known.

    Args:
        loop: The event loop.
        flow: What the port is for.
        done: Told the outcome.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, flow: DatagramFlow, done: DatagramsDone) -> None:
        self._loop = loop
        self._flow = flow
        self._done: DatagramsDone | None = done

    def connect(self, addresses: list[SocketAddress]) -> None:
        """Use these addresses; there are none for a name that does not resolve."""
        done, self._done = self._done, None
        if done is None:
            return
        if not addresses:
            done(StreamCode.FORWARD_NAME_UNKNOWN)
            return
        try:
            port = UdpPort(self._loop, self._flow, [TransportAddress.from_socket(address) for _, address in addresses])
        except ConnectivityError as error:
            logger.info("no socket for datagrams: %s", error)
            cause = error.__cause__
            is_full = isinstance(cause, OSError) and cause.errno in NO_DESCRIPTORS
            done(StreamCode.TOO_MANY_FLOWS if is_full else StreamCode.FORWARD_UNREACHABLE)
        else:
            done(port)

    def cancel(self) -> None:
        """Give up."""
        self._done = None


class UdpPort:
    """Exchanges a flow's datagrams with the service.

    A service that is not there makes the kernel tell so, which ends nothing: it may be there later. As long as it has
    never answered, its next address is tried, with the datagrams sent so far.

    Args:
        loop: The event loop.
        flow: Takes what the service sends.
        addresses: The service's, at least one.

    Raises:
        ConnectivityError: None of them can be reached, or there is no socket to be had.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, flow: DatagramFlow, addresses: Sequence[TransportAddress]
    ) -> None:
        self._loop = loop
        self._flow = flow
        self._left = list(addresses)
        self._unanswered: list[bytes] | None = []
        self._errors_seen = 0
        self._is_failure_told = False
        self._remote, self._socket = self._open_next()

    @property
    def dropped(self) -> int:
        """See ``DatagramPort``."""
        return self._socket.stats.kernel_drops

    def send(self, datagrams: Sequence[bytes]) -> int:
        """See ``DatagramPort``."""
        if self._unanswered is not None:
            room = defaults.FORWARD_UDP_REPEATED - len(self._unanswered)
            self._unanswered += datagrams[: max(0, room)]
        taken = self._socket.send(datagrams, self._remote)
        if self._socket.stats.send_errors:
            self._look_for_errors()
        return taken

    def close(self, *, reset: bool) -> None:
        """See ``DatagramPort``."""
        self._socket.close()

    def _open_next(self) -> tuple[TransportAddress, UdpSocket]:
        while True:
            remote = self._left.pop(0)
            try:
                return remote, UdpSocket(
                    self._loop,
                    _ANY_IPV6 if remote.is_ipv6 else _ANY_IPV4,
                    on_batch=self._received,
                    on_drained=self._drained,
                    buffer_bytes=defaults.FORWARD_UDP_BUFFER_BYTES,
                    remote=remote,
                    takes_empty=True,
                    joins=True,
                )
            except ConnectivityError:
                if not self._left:
                    raise

    def _received(self, buffer: bytes, size: int, source: TransportAddress, now: float) -> None:
        if source == self._remote:  # else it came before the socket was connected
            self._unanswered = None
            self._flow.push(buffer, size)

    def _drained(self, now: float) -> None:
        self._flow.flush()
        if self._socket.stats.receive_errors:
            self._look_for_errors()

    def _look_for_errors(self) -> None:
        stats = self._socket.stats
        if (errors := stats.receive_errors + stats.send_errors) == self._errors_seen or self._socket.is_closed:
            return
        self._errors_seen = errors
        if self._unanswered is None:
            return
        if self._left:
            try:
                remote, opened = self._open_next()
            except ConnectivityError as error:
                logger.info("no socket for datagrams: %s", error)
                return
            self._socket.close()
            self._remote, self._socket, self._errors_seen = remote, opened, 0
            opened.send(self._unanswered, remote)
        elif not self._is_failure_told:
            self._is_failure_told = True
            self._flow.unreachable(stream_error(StreamCode.FORWARD_REFUSED))
