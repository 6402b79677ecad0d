"""Relayed transport addresses as UDP sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from p2p.address import TransportAddress
from p2p.aio.udp import UdpSocket
from p2p.defaults import RELAY_SOCKET_BUFFER_BYTES
from relay.core.allocation import Allocation, Payload
from relay.core.counters import Drop, RelayCounters
from relay.core.relayed_ports import RelayHost


class RelayedUdpSocket:
    """One relayed transport address.

    Args:
        loop: The event loop.
        host: Where to bind, and what peers see instead.
        port: The port to bind.
        counters: What is counted.

    Raises:
        ConnectivityError: The port is taken.
    """

    __slots__ = ("_allocation", "_counters", "_socket", "port", "relayed_address")

    def __init__(self, loop: asyncio.AbstractEventLoop, host: RelayHost, port: int, counters: RelayCounters) -> None:
        self.port = port
        self.relayed_address = TransportAddress(host.public_host, port)
        self._allocation: Allocation | None = None
        self._counters = counters
        self._socket = UdpSocket(
            loop,
            TransportAddress(host.bind_host, port),
            on_batch=self._on_batch,
            on_drained=_nothing,
            poll_delay_s=0.0,
            buffer_bytes=RELAY_SOCKET_BUFFER_BYTES,
        )

    def attach(self, allocation: Allocation) -> None:
        """Hand what arrives to an allocation from now on; until then it is dropped."""
        self._allocation = allocation

    def send(self, payloads: Sequence[Payload], peer: TransportAddress) -> None:
        """Send datagrams to a peer; what the kernel does not take is dropped and counted."""
        sent = self._socket.send(payloads, peer)  # type: ignore[arg-type]  # any buffer will do
        if sent < len(payloads):
            self._counters.drops[Drop.SOCKET_BUFFER_FULL] += len(payloads) - sent

    def send_whole(self, payload: Payload, peer: TransportAddress) -> int | None:
        """Send one datagram that must not be fragmented; return what the path carries when this is more (bytes)."""
        return self._socket.send_whole(payload, peer)  # type: ignore[arg-type]  # any buffer will do

    def close(self) -> None:
        """Close the socket and free the port."""
        self._allocation = None
        self._socket.close()

    def _on_batch(self, buffer: bytes, segment_size: int, source: TransportAddress, now: float) -> None:
        if self._allocation is None:
            self._counters.drops[Drop.NO_ALLOCATION] += 1
        else:
            self._allocation.receive_from_peer(source, segments(buffer, segment_size))


def segments(buffer: bytes, segment_size: int) -> Sequence[Payload]:
    """Cut what the kernel joined into datagrams again, without copying.

    Args:
        buffer: Datagrams of one source.
        segment_size: Size of each but the last, in bytes.
    """
    size = len(buffer)
    if segment_size >= size:
        return (buffer,)
    view = memoryview(buffer)
    return [view[at : at + segment_size] for at in range(0, size, segment_size)]


def _nothing(now: float) -> None:
    """Do nothing: each batch was sent on when it came."""
