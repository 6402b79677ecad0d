"""The connecting side's end of flows of datagrams: a local UDP port, open whether a session is up or not."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from p2p import defaults
from p2p.address import TransportAddress
from p2p.aio.udp import UdpSocket
from p2p.errors import ConnectivityError, ForwardError
from p2p.forward.datagram_flow import DatagramFlow
from p2p.forward.listener import CODE_LISTEN
from p2p.forward.multiplexer import Multiplexer
from p2p.forward.sockets import Addresses

logger = logging.getLogger(__name__)


class UdpListenerForward:
    """Receives datagrams and opens a flow for each source; replies go back to it.

    While no session is attached, or it takes no more flows, the newest datagrams wait for a moment. Sessions may come
    and go under it: a source whose flow has ended gets another one with its next datagram.

    Concurrency: one event loop, no task; it listens from the beginning of its ``async with`` block to the end.

    Args:
        address: Where to listen; port 0 lets the system choose.
        loop: The event loop.
        service: What to ask the other side for; empty means the session's own service.
        admits: Whether a source may send at all; what others send is dropped.
    """

    def __init__(
        self,
        address: TransportAddress,
        *,
        loop: asyncio.AbstractEventLoop,
        service: str = "",
        admits: Callable[[TransportAddress], bool] = lambda _: True,
    ) -> None:
        self.service = service
        self._dropped = 0
        self._admits = admits
        self._requested = address
        self._loop = loop
        self._socket: UdpSocket | None = None
        self._multiplexer: Multiplexer | None = None
        self._flows: dict[TransportAddress, DatagramFlow] = {}
        self._touched: list[DatagramFlow] = []
        self._waiting: deque[tuple[float, TransportAddress, bytes]] = deque()
        self._waiting_bytes = 0
        self._refused_until = 0.0

    async def __aenter__(self) -> Self:
        try:
            self._socket = UdpSocket(
                self._loop,
                self._requested,
                on_batch=self._received,
                on_drained=self._drained,
                takes_empty=True,
                joins=True,
            )
        except ConnectivityError as error:
            raise ForwardError(f"cannot listen: {error.detail}", code=CODE_LISTEN) from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def address(self) -> TransportAddress:
        """Where it listens.

        Raises:
            ForwardError: It does not listen.
        """
        if self._socket is None:
            raise ForwardError("the listener is not open", code=CODE_LISTEN)
        return self._socket.local_address

    @property
    def dropped(self) -> int:
        """Datagrams that waited too long for a session, or were too many for us or for the kernel."""
        return self._dropped + (0 if self._socket is None else self._socket.stats.kernel_drops)

    @property
    def waiting_count(self) -> int:
        """How many datagrams wait for a session."""
        return len(self._waiting)

    def attach(self, multiplexer: Multiplexer) -> None:
        """Give datagrams to this session from now on, those that wait first."""
        self._multiplexer = multiplexer
        self._refused_until = 0.0
        self._serve()

    def detach(self) -> None:
        """Have datagrams wait until the next session is attached; flows under way are not touched."""
        self._multiplexer = None

    def close(self) -> None:
        """Stop listening and end all flows. A second call does nothing."""
        self._multiplexer = None
        for flow in tuple(self._flows.values()):
            flow.end()
        self._waiting.clear()
        if self._socket is not None:
            self._dropped += self._socket.stats.kernel_drops
            self._socket.close()
            self._socket = None

    # --- inside ------------------------------------------------------------------------------------------------

    def _received(self, buffer: bytes, size: int, source: TransportAddress, now: float) -> None:
        flow = self._flows.get(source)
        if flow is None:
            if not self._admits(source):
                self._dropped += 1
                return
            flow = None if self._waiting else self._open(source, now)
            if flow is None:
                self._wait(now, source, buffer, size)
                return
        flow.push(buffer, size)
        if not self._touched or self._touched[-1] is not flow:
            self._touched.append(flow)

    def _drained(self, now: float) -> None:
        touched, self._touched = self._touched, []
        for flow in touched:
            flow.flush()
        if self._waiting:
            self._serve()

    def _open(self, source: TransportAddress, now: float) -> DatagramFlow | None:
        if self._multiplexer is None or now < self._refused_until:
            return None
        port = _SourcePort(self, source)
        try:
            flow = self._multiplexer.open_datagram_flow(port, self.service, Addresses(source, self.address))
        except ForwardError:
            self._multiplexer.call_on_capacity(self._serve)
            return None
        self._flows[source] = flow
        return flow

    def _wait(self, now: float, source: TransportAddress, buffer: bytes, size: int) -> None:
        expires_at = now + defaults.FORWARD_UDP_WAITING_S
        for start in range(0, max(1, len(buffer)), size or 1):
            self._waiting.append((expires_at, source, buffer[start : start + size]))
        self._waiting_bytes += len(buffer)
        while len(self._waiting) > defaults.FORWARD_UDP_HELD or self._waiting_bytes > defaults.FORWARD_UDP_HELD_BYTES:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        self._waiting_bytes -= len(self._waiting.popleft()[2])
        self._dropped += 1

    def _serve(self) -> None:
        """Give those that wait to the session, as far as it takes them."""
        now = self._loop.time()
        served: dict[DatagramFlow, None] = {}
        while self._waiting:
            expires_at, source, datagram = self._waiting[0]
            if expires_at <= now:
                self._drop_oldest()
                continue
            flow = self._flows.get(source) or self._open(source, now)
            if flow is None:
                break
            self._waiting.popleft()
            self._waiting_bytes -= len(datagram)
            flow.push(datagram, len(datagram))
            served[flow] = None
        for flow in served:
            flow.flush()

    def send(self, datagrams: Sequence[bytes], source: TransportAddress) -> int:
        """Send what came from the other side to the source of a flow."""
        return 0 if self._socket is None else self._socket.send(datagrams, source)

    def flow_closed(self, source: TransportAddress, *, reset: bool) -> None:
        """Note the end of a source's flow; one that was refused shall not be asked for with every datagram."""
        self._flows.pop(source, None)
        if reset:
            self._refused_until = self._loop.time() + defaults.FORWARD_UDP_REFUSED_S


class _SourcePort:
    """A source of datagrams, as the local end of its flow."""

    __slots__ = ("_listener", "_source", "dropped")

    def __init__(self, listener: UdpListenerForward, source: TransportAddress) -> None:
        self._listener = listener
        self._source = source
        self.dropped = 0  # the listener's socket counts for all sources

    def send(self, datagrams: Sequence[bytes]) -> int:
        return self._listener.send(datagrams, self._source)

    def close(self, *, reset: bool) -> None:
        self._listener.flow_closed(self._source, reset=reset)
