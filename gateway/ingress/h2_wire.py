"""One HTTP/2 connection of either side: moves the library's bytes, and keeps to the other side's flow control."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from abc import abstractmethod
from typing import Final, cast

from h2.config import H2Configuration
from h2.connection import ConnectionInputs, ConnectionState, H2Connection, H2ConnectionStateMachine
from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    Event,
    RemoteSettingsChanged,
    StreamEnded,
    StreamReset,
    TrailersReceived,
    WindowUpdated,
)
from h2.exceptions import H2Error, ProtocolError, StreamClosedError
from h2.settings import SettingCodes, Settings

from gateway.core.h2_head import headers_of
from gateway.core.h2_limits import CONNECTION_WINDOW_BYTES, HEADERS_MAX_BYTES, STREAM_WINDOW_BYTES, STREAMS_MAX
from gateway.ingress.h2_body import Body

logger = logging.getLogger(__name__)

TAKEN_WITHIN_S: Final = 300.0
"""How long the other side may take nothing of a body; as long as a service may be silent."""
_GOODBYE_S: Final = 10.0
_DEFAULT_WINDOW_BYTES: Final = 65_535
_BATCH_BYTES: Final = 1 << 16
"""What is written at once, in frames of the size that the other side takes."""


class H2Stream:
    """One message that is coming, on a connection.

    Args:
        wire: The connection.
        number: The stream's.

    Attributes:
        body: What comes.
    """

    def __init__(self, wire: H2Wire, number: int) -> None:
        self.wire = wire
        self.number = number
        self.body = Body(self._taken)

    def _taken(self, cost_bytes: int) -> None:
        self.wire.acknowledge(self.number, cost_bytes)

    def broken_off(self, error: BaseException) -> None:
        """The stream has ended before its time."""
        self.body.set_exception(error)


class StaysOpen(H2ConnectionStateMachine):
    """A GOAWAY ends no stream that it counts as taken (RFC 9113 section 6.8); for the library it ends everything."""

    _transitions = {  # noqa: RUF012 -- as the library has it
        **H2ConnectionStateMachine._transitions,
        **{
            (state, way): (None, state)
            for state in (ConnectionState.CLIENT_OPEN, ConnectionState.SERVER_OPEN)
            for way in (ConnectionInputs.SEND_GOAWAY, ConnectionInputs.RECV_GOAWAY)
        },
    }


class H2Wire(asyncio.Protocol):
    """A connection.

    Concurrency: one event loop.

    Args:
        is_client: Whether it is we who ask.

    Attributes:
        streams: Messages that are under way, by the number of the stream.
    """

    def __init__(self, *, is_client: bool) -> None:
        self.streams: dict[int, H2Stream] = {}
        self.h2 = H2Connection(
            H2Configuration(client_side=is_client, header_encoding=None, validate_outbound_headers=False)
        )
        # Ours from the first byte on, not only when the other side has confirmed them.
        self.h2.local_settings = Settings(
            client=is_client,
            initial_values={
                SettingCodes.MAX_CONCURRENT_STREAMS: STREAMS_MAX,
                SettingCodes.INITIAL_WINDOW_SIZE: STREAM_WINDOW_BYTES,
                SettingCodes.MAX_HEADER_LIST_SIZE: HEADERS_MAX_BYTES,
                SettingCodes.ENABLE_PUSH: 0,
            },
        )
        self.h2.decoder.max_header_list_size = HEADERS_MAX_BYTES
        self.h2.state_machine = StaysOpen()
        self._transport: asyncio.Transport | None = None
        self._may_send: list[asyncio.Future[None]] = []
        self._is_full = False

    @property
    def is_open(self) -> bool:
        """Whether bytes can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    # --- the event loop's side ---------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See ``asyncio.Protocol``."""
        self._transport = cast("asyncio.Transport", transport)
        self.h2.initiate_connection()
        self.h2.increment_flow_control_window(CONNECTION_WINDOW_BYTES - _DEFAULT_WINDOW_BYTES)
        self.flush()

    def data_received(self, data: bytes) -> None:
        """See ``asyncio.Protocol``."""
        try:
            events = self.h2.receive_data(data)
            for event in events:
                self.handle(event)
        except H2Error as error:
            logger.info("HTTP/2 connection closed: %s", error)
            self.close()
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """See ``asyncio.Protocol``."""
        self._transport = None
        error = ConnectionResetError("the HTTP/2 connection is lost")
        error.__cause__ = exc
        for stream in list(self.streams.values()):
            stream.broken_off(error)
        self.streams.clear()
        self._wake()

    def pause_writing(self) -> None:
        """See ``asyncio.Protocol``."""
        self._is_full = True

    def resume_writing(self) -> None:
        """See ``asyncio.Protocol``."""
        self._is_full = False
        self._wake()

    # --- for those who use it ----------------------------------------------------------------------------------

    @abstractmethod
    def handle(self, event: Event) -> None:
        """Take what the other side did.

        Args:
            event: By the library; this class takes what both sides have in common.
        """
        match event:
            case DataReceived(stream_id=number, data=data, flow_controlled_length=cost):
                if (stream := self.streams.get(number or 0)) is not None:
                    stream.body.feed(data or b"", cost or 0)
                else:
                    self.acknowledge(number or 0, cost or 0)
            case TrailersReceived(stream_id=number, headers=fields):
                if (stream := self.streams.get(number or 0)) is not None:
                    stream.body.trailers[:] = headers_of(fields or [])
            case StreamEnded(stream_id=number):
                if (stream := self.streams.get(number or 0)) is not None:
                    stream.body.feed_eof()
            case StreamReset(stream_id=number):
                if (stream := self.streams.pop(number or 0, None)) is not None:
                    self._give_back(stream)
                    stream.broken_off(ConnectionResetError("the HTTP/2 stream was reset"))
                self._wake()
            case WindowUpdated() | RemoteSettingsChanged():
                self._wake()
            case _:
                pass

    def flush(self) -> None:
        """Send what the library wants to send."""
        data = self.h2.data_to_send()
        if data and self._transport is not None:
            self._transport.write(data)

    def acknowledge(self, number: int, cost_bytes: int) -> None:
        """Let the other side send as much again as was taken."""
        if self._transport is None or not cost_bytes:
            return
        with contextlib.suppress(ProtocolError):  # the connection is being closed
            self.h2.acknowledge_received_data(cost_bytes, number)
            self.flush()

    def send_headers(self, number: int, fields: list[tuple[bytes, bytes]], *, is_end: bool = False) -> None:
        """Send a head or trailers.

        Raises:
            ConnectionResetError: The stream has ended.
        """
        try:
            self.h2.send_headers(number, fields, end_stream=is_end)
        except ProtocolError as error:
            raise ConnectionResetError("the HTTP/2 stream has ended") from error
        self.flush()

    async def send_data(self, number: int, data: bytes | memoryview, *, is_end: bool = False) -> None:
        """Send a part of a body, as fast as the other side takes it.

        Raises:
            ConnectionResetError: The stream has ended.
            TimeoutError: The other side takes nothing.
        """
        view = memoryview(data)
        try:
            while view:
                room = min(await self._room(number), len(view), _BATCH_BYTES)
                batch, view = view[:room], view[room:]
                while batch:
                    size = min(self.h2.max_outbound_frame_size, len(batch))
                    self.h2.send_data(number, batch[:size], end_stream=is_end and not view and size == len(batch))
                    batch = batch[size:]
                self.flush()
            if is_end and not data:
                self.h2.end_stream(number)
                self.flush()
        except (H2Error, KeyError) as error:
            raise ConnectionResetError("the HTTP/2 stream has ended") from error

    def end(self, number: int, code: ErrorCodes = ErrorCodes.NO_ERROR) -> None:
        """Forget a stream; one that has not ended on both sides is reset.

        Args:
            number: The stream's.
            code: To tell with the reset.
        """
        stream = self.streams.pop(number, None)
        if stream is None:
            return
        self._give_back(stream)
        there = self.h2.streams.get(number)
        if there is not None and not there.closed:
            with contextlib.suppress(ProtocolError):
                self.h2.reset_stream(number, code)
        self.flush()

    def close(self, code: ErrorCodes | None = None) -> None:
        """End the connection.

        Args:
            code: To be told; None if it was told.
        """
        if code is not None:
            with contextlib.suppress(ProtocolError):
                self.h2.close_connection(code)
        self.flush()
        if self._transport is not None:
            self._transport.close()
            # Whoever does not read would keep what was not sent in memory for ever.
            asyncio.get_running_loop().call_later(_GOODBYE_S, self._transport.abort)

    def abort(self) -> None:
        """End the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    # --- inside ------------------------------------------------------------------------------------------------

    async def _room(self, number: int) -> int:
        """Wait until something may be sent, and tell how much."""
        async with asyncio.timeout(TAKEN_WITHIN_S):
            while True:
                if not self.is_open:
                    raise ConnectionResetError("the HTTP/2 connection is lost")
                if number not in self.h2.streams:
                    raise StreamClosedError(number)
                room = self.h2.local_flow_control_window(number)
                if room > 0 and not self._is_full:
                    return room
                waiter = asyncio.get_running_loop().create_future()
                self._may_send.append(waiter)
                await waiter

    def _wake(self) -> None:
        waiters, self._may_send = self._may_send, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _give_back(self, stream: H2Stream) -> None:
        """What nobody will read counts as read, or it would be missing to the other streams for ever."""
        self.acknowledge(stream.number, stream.body.drop())
