"""Clients over UDP."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Sequence
from typing import Final

from p2p.address import TransportAddress
from p2p.aio.udp import UdpSocket
from p2p.proto.stun.message import is_stun
from relay.core.allocation import Allocation, Channel, Payload
from relay.core.counters import Drop, RelayCounters
from relay.core.five_tuple import ClientTransport, FiveTuple
from relay.core.strangers import StrangerLimit
from relay.shell.binding import BindingService, is_binding_request
from relay.shell.control import Control

_CHANNEL_HEADER: Final = struct.Struct("!HH")
_FIRST_CHANNEL_BYTE: Final = 0x40
_LAST_CHANNEL_BYTE: Final = 0x7F


class DatagramLeg:
    """The way back to one client over UDP.

    Args:
        socket: The listener's socket.
        client: The client's address.
        counters: What is counted.
    """

    __slots__ = ("_client", "_counters", "_socket")

    def __init__(self, socket: UdpSocket, client: TransportAddress, counters: RelayCounters) -> None:
        self._socket = socket
        self._client = client
        self._counters = counters

    def send_message(self, data: bytes) -> None:
        """Send one STUN message."""
        self._send((data,))

    def send_channel_data(self, number: int, payloads: Sequence[Payload]) -> None:
        """Send payloads as ChannelData, without padding, which datagrams need not have."""
        size, header = -1, b""
        datagrams = []
        for payload in payloads:
            if len(payload) != size:
                size = len(payload)
                header = _CHANNEL_HEADER.pack(number, size)
            datagrams.append(header + payload)
        self._send(datagrams)

    def _send(self, datagrams: Sequence[bytes]) -> None:
        sent = self._socket.send(datagrams, self._client)
        if sent < len(datagrams):
            self._counters.drops[Drop.SOCKET_BUFFER_FULL] += len(datagrams) - sent


class DatagramListener:
    """One UDP port that clients talk to.

    ChannelData of a known client goes straight to its peer's socket: no message codec, no task, and one system call
    for all that arrived together on one channel.

    Args:
        loop: The event loop.
        address: Where to listen.
        control: Where messages go.
        strangers: What addresses without a proof may get.
        binding_service: Answers Binding requests, if given.

    Raises:
        ConnectivityError: The address cannot be bound.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        address: TransportAddress,
        *,
        control: Control,
        strangers: StrangerLimit,
        binding_service: BindingService | None,
    ) -> None:
        self._loop = loop
        self._control = control
        self._counters = control.counters
        self._strangers = strangers
        self._binding_service = binding_service
        # No poll delay: a millisecond of a fast flow does not fit the buffer, and everything relayed would wait for it.
        self._socket = UdpSocket(loop, address, on_batch=self._on_batch, on_drained=_nothing, poll_delay_s=0.0)
        self.address = self._socket.local_address
        self._clients = control.server.table.clients_of(ClientTransport.UDP, self.address)

    @property
    def kernel_drops(self) -> int:
        """How many datagrams the kernel dropped because its receive buffer was full."""
        return self._socket.stats.kernel_drops

    def send(self, data: bytes, destination: TransportAddress) -> None:
        """Send an answer of the binding service, as far as the limit for strangers allows."""
        if self._strangers.may_send(destination, len(data), self._loop.time()):
            self._socket.send((data,), destination)
        else:
            self._counters.drops[Drop.UNAUTHENTICATED_LIMIT] += 1

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _on_batch(self, buffer: bytes, segment_size: int, source: TransportAddress, now: float) -> None:
        allocation = self._clients.get(source)
        if allocation is None:
            for start in range(0, len(buffer), segment_size):
                self._on_other(buffer[start : start + segment_size], source, None)
            return
        view = memoryview(buffer)
        size = len(buffer)
        channels = allocation.channels
        run: list[Payload] = []
        run_channel: Channel | None = None
        for start in range(0, size, segment_size):
            if not _FIRST_CHANNEL_BYTE <= buffer[start] <= _LAST_CHANNEL_BYTE:
                if run_channel is not None:  # keep the client's order
                    allocation.send_on_channel(run_channel, run)
                    run, run_channel = [], None
                self._on_other(buffer[start : start + segment_size], source, allocation)
                continue
            end = min(start + segment_size, size)
            if end - start < _CHANNEL_HEADER.size:
                self._counters.drops[Drop.MALFORMED] += 1
                continue
            number, length = _CHANNEL_HEADER.unpack_from(buffer, start)
            channel = channels.get(number)
            if channel is None:
                self._counters.drops[Drop.NO_CHANNEL] += 1
            elif length > end - start - _CHANNEL_HEADER.size:
                self._counters.drops[Drop.MALFORMED] += 1
            else:
                if channel is not run_channel:
                    if run_channel is not None:
                        allocation.send_on_channel(run_channel, run)
                    run, run_channel = [], channel
                data_at = start + _CHANNEL_HEADER.size
                run.append(view[data_at : data_at + length])
        if run_channel is not None:
            allocation.send_on_channel(run_channel, run)

    def _on_other(self, data: bytes, source: TransportAddress, allocation: Allocation | None) -> None:
        """Take what is no ChannelData of a known client."""
        service = self._binding_service
        if service is not None and is_binding_request(data) and service.handle(data, source, self.address):
            self._strangers.received(source, len(data), self._loop.time())
            return
        if not is_stun(data):
            is_channel_data = _FIRST_CHANNEL_BYTE <= data[0] <= _LAST_CHANNEL_BYTE
            self._counters.drops[Drop.NO_ALLOCATION if is_channel_data else Drop.MALFORMED] += 1
            return
        leg = allocation.leg if allocation is not None else DatagramLeg(self._socket, source, self._counters)
        answer = self._control.receive(data, FiveTuple(ClientTransport.UDP, source, self.address), leg)
        if answer is not None and not self._socket.send((answer,), source):
            self._counters.drops[Drop.SOCKET_BUFFER_FULL] += 1


def _nothing(now: float) -> None:
    """Do nothing: each batch was answered when it came."""
