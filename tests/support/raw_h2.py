"""A client of HTTP/2 that may break every rule."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, DataReceived, ResponseReceived, StreamEnded, StreamReset, TrailersReceived

from gateway.ingress.h2_wire import StaysOpen
from p2p.address import TransportAddress

GET = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"blog.gw.test")]


class Outcome:
    """What came of a stream."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""
        self.trailers: dict[str, str] = {}
        self.reset: int | None = None
        self.is_over = asyncio.Event()


class RawH2:
    """A connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        config = H2Configuration(
            validate_outbound_headers=False, normalize_outbound_headers=False, header_encoding="latin-1"
        )
        self.h2 = H2Connection(config)
        self.h2.state_machine = StaysOpen()
        self.outcomes: dict[int, Outcome] = {}
        self.goaway: int | None = None
        self.is_over = asyncio.Event()
        self.reads_bodies = True
        self._reader, self._writer = reader, writer
        self.h2.initiate_connection()
        self.flush()

    def flush(self) -> None:
        self._writer.write(self.h2.data_to_send())

    def send_frame(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        head = len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big")
        self._writer.write(head + payload)

    def ask(self, fields: Any = GET, *, body: bytes | None = b"", ends: bool = True) -> Outcome:
        """Ask for something; ``body`` None sends the head only, and it ends the request."""
        number = self.h2.get_next_available_stream_id()
        outcome = self.outcomes[number] = Outcome()
        self.h2.send_headers(number, fields, end_stream=body is None or (not body and ends))
        if body:
            self.h2.send_data(number, body, end_stream=ends)
        self.flush()
        return outcome

    async def answer(self, fields: Any = GET, **options: Any) -> Outcome:
        outcome = self.ask(fields, **options)
        async with asyncio.timeout(10):
            await outcome.is_over.wait()
        return outcome

    async def listen(self) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await self._reader.read(1 << 16):
                for event in self.h2.receive_data(data):
                    self._take(event)
                with contextlib.suppress(ConnectionError):
                    self.flush()
        self.is_over.set()
        for outcome in self.outcomes.values():
            outcome.is_over.set()

    def _take(self, event: Any) -> None:
        if isinstance(event, ConnectionTerminated):
            self.goaway = int(event.error_code or 0)
            return
        outcome = self.outcomes.get(getattr(event, "stream_id", None) or 0)
        if outcome is None:
            return
        match event:
            case ResponseReceived(headers=fields):
                outcome.headers = dict(fields)
                outcome.status = int(outcome.headers[":status"])
            case DataReceived(data=data, flow_controlled_length=size, stream_id=number):
                outcome.body += data
                if self.reads_bodies:
                    self.h2.acknowledge_received_data(size, number)
            case TrailersReceived(headers=fields):
                outcome.trailers = dict(fields)
            case StreamReset(error_code=code):
                outcome.reset = int(code)
                outcome.is_over.set()
            case StreamEnded():
                outcome.is_over.set()


@asynccontextmanager
async def raw_h2(address: TransportAddress) -> AsyncIterator[RawH2]:
    reader, writer = await asyncio.open_connection(*address)
    client = RawH2(reader, writer)
    async with asyncio.TaskGroup() as group:
        listening = group.create_task(client.listen())
        try:
            yield client
        finally:
            listening.cancel()
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
