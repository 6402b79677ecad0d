"""What takes an allocation's messages to its relay: our UDP socket, or a TCP or TLS connection of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from p2p.address import TransportAddress
from p2p.defaults import RELAY_CARRIER_BUFFER_BYTES
from p2p.errors import DecodeError, ErrorCode, RelayError
from p2p.path.base import SocketBase
from p2p.path.endpoint import BatchReceiver, Endpoint
from p2p.proto.ice.candidate import RelayProtocol
from p2p.proto.turn.framing import StreamFramer

CODE_STREAM_ENDED = ErrorCode(
    "P2P-5201", "Check that the relay still runs and that nothing in between cuts idle connections.", retryable=True
)


class UdpCarrier:
    """Shares a socket with everything else of this process; the relay's address tells its datagrams apart.

    Args:
        endpoint: Owns the socket.
        socket: The socket.
        server: The relay.
    """

    protocol = RelayProtocol.UDP

    def __init__(self, endpoint: Endpoint, socket: SocketBase, server: TransportAddress) -> None:
        self._endpoint = endpoint
        self._socket = socket
        self._server = server
        self.socket_base_id: int | None = socket.base_id

    def send(self, messages: Sequence[bytes]) -> int:
        """Send messages; see ``RelayCarrier``."""
        return self._socket.send(messages, self._server)

    def call_when_writable(self, callback: Callable[[], object]) -> None:
        """Call back once, as soon as the socket takes messages again."""
        self._socket.call_when_writable(callback)

    def attach(self, receiver: BatchReceiver) -> None:
        """Give all that the relay sends to the receiver."""
        self._endpoint.divert(self._socket.base_id, self._server, receiver)

    def close(self) -> None:
        """Leave the socket to its other users."""
        self._endpoint.divert(self._socket.base_id, self._server, None)


class StreamCarrier(asyncio.Protocol):
    """A TCP or TLS connection to the relay.

    Args:
        endpoint: Told when a chunk has been handed over.
        protocol: TCP or TLS.
    """

    def __init__(self, endpoint: Endpoint, protocol: RelayProtocol) -> None:
        self.protocol = protocol
        self.socket_base_id: int | None = None
        self.on_ended: Callable[[RelayError], None] | None = None
        self._endpoint = endpoint
        self._framer = StreamFramer()
        self._transport: asyncio.Transport | None = None
        self._receiver: BatchReceiver | None = None
        self._loop = asyncio.get_running_loop()
        self._is_paused = False
        self._waiting: list[Callable[[], object]] = []

    def attach(self, receiver: BatchReceiver) -> None:
        """Give all that the relay sends to the receiver."""
        self._receiver = receiver

    def send(self, messages: Sequence[bytes]) -> int:
        """Send messages; see ``RelayCarrier``. A full buffer takes none: the sender waits, nothing is lost."""
        if self._transport is None or self._transport.is_closing():
            return len(messages)
        if self._is_paused:
            return 0
        self._transport.write(b"".join(messages))
        return len(messages)

    def call_when_writable(self, callback: Callable[[], object]) -> None:
        """Call back once, as soon as the connection takes messages again."""
        self._waiting.append(callback)

    def close(self) -> None:
        """Close the connection without waiting for what is unsent."""
        self.on_ended = None
        if self._transport is not None:
            self._transport.abort()

    # --- asyncio.Protocol ----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=RELAY_CARRIER_BUFFER_BYTES)

    def data_received(self, data: bytes) -> None:
        """Cut the stream into messages and hand them over."""
        now = self._loop.time()
        self._framer.receive_data(data)
        try:
            while (message := self._framer.next_frame()) is not None:
                if self._receiver is not None:
                    self._receiver.receive_batch(message, len(message), now)
        except DecodeError as error:
            self._ended(RelayError(f"the relay sent garbage: {error.detail}", code=CODE_STREAM_ENDED))
            self.close()
            return
        self._endpoint.drained(now)

    def pause_writing(self) -> None:
        """The buffer is full."""
        self._is_paused = True

    def resume_writing(self) -> None:
        """The buffer has room again."""
        self._is_paused = False
        waiting, self._waiting = self._waiting, []
        for callback in waiting:
            callback()

    def connection_lost(self, exc: Exception | None) -> None:
        """The relay, or the network, ended the connection."""
        self._ended(RelayError(f"the connection to the relay ended: {exc or 'closed'}", code=CODE_STREAM_ENDED))
        self.resume_writing()

    def _ended(self, error: RelayError) -> None:
        callback, self.on_ended = self.on_ended, None
        if callback is not None:
            callback(error)
