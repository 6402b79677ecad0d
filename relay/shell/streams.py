"""Clients over TCP and TLS."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Sequence
from typing import Final, cast

from p2p.address import TransportAddress
from p2p.defaults import (
    RELAY_STREAM_FIRST_MESSAGE_BYTES,
    RELAY_STREAM_IDLE_S,
    RELAY_STREAM_REFUSALS,
    RELAY_STREAM_SEND_BUFFER_BYTES,
    RELAY_STREAM_SETUP_S,
    UDP_GSO_SEGMENTS,
)
from p2p.proto.stun.message import HEADER_BYTES as STUN_HEADER_BYTES
from p2p.proto.stun.message import MAGIC_COOKIE
from relay.core import http_probe
from relay.core.allocation import CHANNEL_DATA_MAX_BYTES, Allocation, Payload
from relay.core.counters import Drop
from relay.core.five_tuple import ClientTransport, FiveTuple
from relay.core.peer_connections import PeerConnection
from relay.shell.channel_data import are_alike, fits
from relay.shell.connections import ConnectionLimiter
from relay.shell.control import Control
from relay.shell.pipe import TcpPeerStream

_HEADER: Final = struct.Struct("!HH")
_FIRST_CHANNEL_BYTE: Final = 0x40
_LAST_CHANNEL_BYTE: Final = 0x7F
_LAST_STUN_BYTE: Final = 0x03
_COOKIE_END: Final = 8


class StreamClient(asyncio.Protocol):
    """One client's connection: cuts the stream into messages, and is the client's leg.

    ChannelData goes straight to the peer's socket, all that arrived together on one channel in one call. The
    connection is closed when it speaks anything but TURN, when it has no allocation in time, and when too many of its
    requests were refused. What a slow client does not read is dropped beyond a bound.

    Concurrency: one event loop; it holds one timer of the loop for as long as the connection lasts.

    Args:
        loop: The event loop.
        control: Where messages go.
        limiter: Counts connections.
        transport_kind: What the connection is to clients; None finds out whether it carries TLS.

    Attributes:
        client_address: Set beforehand where a front passes the connection on: the client, not the front.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        control: Control,
        limiter: ConnectionLimiter,
        *,
        transport_kind: ClientTransport | None = None,
    ) -> None:
        self._loop = loop
        self._control = control
        self._counters = control.counters
        self._limiter = limiter
        self._transport_kind = transport_kind
        self._transport: asyncio.Transport | None = None
        self._five_tuple: FiveTuple | None = None
        self._allocation: Allocation | None = None
        self._rest = b""
        self._needed = _HEADER.size
        self._is_closed = False
        self.client_address: TransportAddress | None = None
        self._message_max_bytes = RELAY_STREAM_FIRST_MESSAGE_BYTES
        self._refusals_left = RELAY_STREAM_REFUSALS
        self._timer: asyncio.TimerHandle | None = None

    # --- asyncio -------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or close it when there are too many."""
        transport = cast("asyncio.Transport", transport)
        peer, local = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        if self._is_closed or not peer or not local:  # gone before it was accepted
            transport.abort()
            return
        kind = self._transport_kind
        if kind is None:
            has_tls = transport.get_extra_info("ssl_object") is not None
            kind = ClientTransport.TLS if has_tls else ClientTransport.TCP
        client = self.client_address or TransportAddress.from_socket(peer)
        if not self._limiter.add(self, client.host):
            self._counters.drops[Drop.CONNECTION_LIMIT] += 1
            transport.abort()
            return
        self._transport = transport
        self._five_tuple = FiveTuple(kind, client, TransportAddress.from_socket(local))
        self._timer = self._loop.call_later(RELAY_STREAM_SETUP_S, self._check_allocation)

    def data_received(self, data: bytes) -> None:
        """Take bytes in any chunking."""
        if self._is_closed:
            return
        if self._rest:
            data = self._rest + data
        # A message that trickles in is not looked at again before what it needs is there.
        if len(data) >= self._needed:
            used = self._take_messages(data)
            data = data[used:] if used else data
        self._rest = data

    def connection_lost(self, exc: Exception | None) -> None:
        """End the client's allocation."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._five_tuple is not None:
            self._limiter.remove(self, self._five_tuple.client.host)
            self._control.disconnect(self._five_tuple)
        self._is_closed = True
        self._transport = self._five_tuple = self._allocation = None
        self._rest = b""

    # --- the leg -------------------------------------------------------------------------------------------

    def send_message(self, data: bytes) -> None:
        """Send one STUN message."""
        self._write(data, 1)

    def send_channel_data(self, number: int, payloads: Sequence[Payload]) -> None:
        """Send payloads as ChannelData, padded as streams demand."""
        size, last, count = len(payloads[0]), len(payloads[-1]), len(payloads)
        parts: list[Payload] = [_HEADER.pack(number, size), b"", bytes(-size & 3)] * count
        parts[1::3] = payloads
        if last != size:
            parts[-3], parts[-1] = _HEADER.pack(number, last), bytes(-last & 3)
        self._write(b"".join(parts), count)

    def end(self) -> None:
        """Keep the connection: it may make another allocation."""

    def close(self) -> None:
        """Close the connection, what is still unsent with it."""
        self._is_closed = True
        if self._transport is not None:
            self._transport.abort()

    def _write(self, data: bytes, packets: int) -> None:
        transport = self._transport
        if transport is None or self._is_closed:
            return
        if transport.get_write_buffer_size() + len(data) > RELAY_STREAM_SEND_BUFFER_BYTES:
            # Dropping whole messages is what UDP would do; waiting would let a client hold the relay's memory.
            self._counters.drops[Drop.CLIENT_BUFFER_FULL] += packets
            return
        transport.write(data)

    # --- messages ------------------------------------------------------------------------------------------

    def _take_messages(self, data: bytes) -> int:
        """Take the whole messages at the beginning of the data; return their size, or all when the stream is over."""
        view = memoryview(data)
        size, at = len(data), 0
        run: list[Payload] = []
        run_number = -1
        while size - at >= _HEADER.size:
            first = data[at]
            number, length = _HEADER.unpack_from(data, at)
            if length > self._message_max_bytes:
                if at == 0 and self._allocation is None and http_probe.is_http(data):
                    return self._answer_web(data)
                self._counters.drops[Drop.MALFORMED] += 1
                self.close()
                return size
            if _FIRST_CHANNEL_BYTE <= first <= _LAST_CHANNEL_BYTE:
                end = at + _HEADER.size + length + (-length & 3)
                if end > size:
                    self._needed = end - at
                    break
                if size - end > end - at and data[end : end + _HEADER.size] == data[at : at + _HEADER.size]:
                    self._relay(run_number, run)
                    end = self._relay_alike(data, view, at, end - at)
                    run, run_number = [], -1
                    at = end
                    continue
                payload = view[at + _HEADER.size : at + _HEADER.size + length]
                if number != run_number or not fits(run, payload):
                    self._relay(run_number, run)
                    run, run_number = [], number
                run.append(payload)
                at = end
                continue
            self._relay(run_number, run)
            run, run_number = [], -1
            if size - at < _COOKIE_END:
                self._needed = _COOKIE_END
                return at
            end = at + STUN_HEADER_BYTES + length
            if first > _LAST_STUN_BYTE or length & 3 or data[at + 4 : at + _COOKIE_END] != MAGIC_COOKIE:
                self._counters.drops[Drop.MALFORMED] += 1
                self.close()
                return size
            if end > size:
                self._needed = end - at
                return at
            self._take_message(data[at:end], data[end:])
            if self._is_closed:
                return size
            at = end
        else:
            self._needed = _HEADER.size
        self._relay(run_number, run)
        return at

    def _relay_alike(self, data: bytes, view: memoryview, start: int, step: int) -> int:
        """Relay as many ChannelData messages as are alike, one of which is at ``start``; return where they end."""
        number, length = _HEADER.unpack_from(data, start)
        # As many as one call can send; looking further would let a mixture of messages be looked at again and again.
        count = min((len(data) - start) // step, UDP_GSO_SEGMENTS)
        if not are_alike(data, start, start + count * step, step, count):
            header = data[start : start + _HEADER.size]
            places = range(start + step, start + count * step, step)
            unlike = (at for at in places if data[at : at + _HEADER.size] != header)
            count = (next(unlike) - start) // step
        first = start + _HEADER.size
        self._relay(number, [view[at : at + length] for at in range(first, first + count * step, step)])
        return start + count * step

    def _relay(self, number: int, payloads: Sequence[Payload]) -> None:
        if not payloads:
            return
        allocation = self._allocation
        if allocation is None:
            self._counters.drops[Drop.NO_ALLOCATION] += len(payloads)
            return
        channel = allocation.channels.get(number)
        if channel is None:
            self._counters.drops[Drop.NO_CHANNEL] += len(payloads)
            return
        allocation.send_on_channel(channel, payloads)

    def _take_message(self, message: bytes, rest: bytes) -> None:
        assert self._five_tuple is not None
        answer = self._control.receive(message, self._five_tuple, self)
        bound = self._control.server.tcp.take_bound()
        if bound is not None and answer is not None:
            self._hand_over(bound, answer, rest)
            return
        self._allocation = self._control.server.table.find(self._five_tuple)
        if answer is None:
            return
        self._write(answer, 1)
        if self._allocation is not None:
            self._message_max_bytes = CHANNEL_DATA_MAX_BYTES
            return
        self._refusals_left -= 1
        if self._refusals_left <= 0 and self._transport is not None:
            self._transport.close()  # after the last answer: the client may want to read why
            self._is_closed = True

    def _hand_over(self, bound: PeerConnection, answer: bytes, rest: bytes) -> None:
        """Let this connection carry a peer's data from now on, and nothing else. Source: RFC 6062 section 5.4."""
        assert self._transport is not None
        assert self._five_tuple is not None
        self._write(answer, 1)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._is_closed = True
        host = self._five_tuple.client.host

        def end() -> None:
            self._limiter.remove(self, host)
            self._control.server.tcp.connections.end(bound)

        cast("TcpPeerStream", bound.stream).join(self._transport, rest, bound.allocation, end)

    def _answer_web(self, data: bytes) -> int:
        """Answer an HTTP request as soon as its head is whole; return how many bytes were used."""
        answer = http_probe.answer(data, self._control.now_wall)
        if answer is None:
            self._needed = len(data) + 1
            return 0
        self._counters.drops[Drop.HTTP] += 1
        self._write(answer, 1)
        if self._transport is not None:
            self._transport.close()
        self._is_closed = True
        return len(data)

    def _check_allocation(self) -> None:
        """Close a connection that has no allocation; look again later at one that has."""
        if self._five_tuple is None:
            return
        if self._control.server.table.find(self._five_tuple) is None:
            self.close()
        else:
            self._timer = self._loop.call_later(RELAY_STREAM_IDLE_S, self._check_allocation)
