"""Reads along with a connection: makes exchanges of what both sides say, if it is HTTP/1.1."""

from __future__ import annotations

import time
from typing import Final

import h11

from p2p.inspect.recording import Exchange, Headers, Recorder

_UNREAD_MAX_BYTES: Final = 1 << 20
"""Requests that are sent ahead of their responses; with more, reading along ends."""


class Tap:
    """Two parsers, one for what the client says and one for what the service answers, kept in step.

    It changes nothing, and what it does not understand it counts.

    Args:
        recorder: Where exchanges go.
        service: Which service the connection is to.
        visitor: Whose it is.
        replay_of: The exchange that is repeated, if it is.
    """

    def __init__(self, recorder: Recorder, *, service: str, visitor: str, replay_of: int | None = None) -> None:
        self._recorder = recorder
        self._service = service
        self._visitor = visitor
        self._replay_of = replay_of
        self._requests = h11.Connection(h11.SERVER, max_incomplete_event_size=64 << 10)
        self._responses = h11.Connection(h11.CLIENT, max_incomplete_event_size=64 << 10)
        self._exchange: Exchange | None = None
        self._is_raw = False
        self._unread = [0, 0]

    @property
    def exchange(self) -> Exchange | None:
        """The one under way, or the last one."""
        return self._exchange

    def said(self, data: bytes) -> None:
        """Take what the client said; empty for its end."""
        self._unread[0] += len(data)
        if self._is_raw:
            self._count()
            return
        try:
            self._requests.receive_data(data)
            self._read_requests()
            if len(self._requests.trailing_data[0]) > _UNREAD_MAX_BYTES:
                self._give_up("more requests ahead of their responses than are read along")
        except h11.ProtocolError:
            self._give_up("no HTTP/1.1")

    def answered(self, data: bytes) -> None:
        """Take what the service answered; empty for its end."""
        self._unread[1] += len(data)
        if self._is_raw:
            self._count()
            return
        if self._exchange is None and data:
            self._give_up("no HTTP/1.1")
            return
        try:
            self._responses.receive_data(data)
            self._read_responses()
        except h11.ProtocolError:
            self._give_up("no HTTP/1.1" if data else "the service ended too early")

    def over(self) -> None:
        """The connection has ended."""
        if self._exchange is None and any(self._unread):
            self._give_up("no HTTP/1.1")
        exchange = self._exchange
        if exchange is not None and exchange.took_s is None:
            if not self._is_raw:
                exchange.note = exchange.note or "broken off"
            self._finish(exchange)

    def _read_requests(self) -> None:
        while True:
            event = self._requests.next_event()
            if event is h11.NEED_DATA or event is h11.PAUSED:
                return
            if isinstance(event, h11.Request):
                self._exchange = exchange = self._begin()
                self._unread = [0, 0]
                exchange.method, exchange.target = event.method.decode(), event.target.decode("latin-1")
                exchange.request_headers = _headers(event)
                exchange.replay_of = self._replay_of
                self._responses.send(event)
            elif isinstance(event, h11.Data):
                assert self._exchange is not None
                self._exchange.request.add(bytes(event.data))
                self._responses.send(event)
                continue
            elif isinstance(event, h11.EndOfMessage):
                self._responses.send(event)
            else:
                return
            assert self._exchange is not None
            self._recorder.changed(self._exchange)

    def _read_responses(self) -> None:
        while True:
            event = self._responses.next_event()
            if event is h11.NEED_DATA or event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
                return
            exchange = self._exchange
            if exchange is None:
                raise h11.RemoteProtocolError("a response without a request")
            if isinstance(event, h11.Response | h11.InformationalResponse):
                if isinstance(event, h11.InformationalResponse) and event.status_code != 101:
                    continue
                exchange.status = event.status_code
                exchange.response_headers = _headers(event)
                exchange.first_byte_s = time.monotonic() - exchange.began_at
                if event.status_code == 101:
                    exchange.note = "switched to another protocol"
                    self._is_raw = True
                    self._unread = [0, 0]
                    self._recorder.changed(exchange)
                    return
                self._requests.send(event)
            elif isinstance(event, h11.Data):
                exchange.response.add(bytes(event.data))
                self._requests.send(event)
                continue
            elif isinstance(event, h11.EndOfMessage):
                self._requests.send(event)
                self._finish(exchange)
                self._next_cycle()
                return
            self._recorder.changed(exchange)

    def _next_cycle(self) -> None:
        if self._requests.our_state is h11.DONE and self._requests.their_state is h11.DONE:
            self._requests.start_next_cycle()
            self._responses.start_next_cycle()
            self._read_requests()

    def _begin(self) -> Exchange:
        return self._recorder.begin(
            service=self._service, visitor=self._visitor, now_wall=time.time(), now=time.monotonic()
        )

    def _finish(self, exchange: Exchange) -> None:
        exchange.took_s = time.monotonic() - exchange.began_at
        self._recorder.changed(exchange)

    def _give_up(self, note: str) -> None:
        """Count only from now on."""
        self._is_raw = True
        if self._exchange is None or self._exchange.took_s is not None:
            self._exchange = self._begin()
        self._exchange.note = note
        self._count()

    def _count(self) -> None:
        """Add what nobody reads to the sizes."""
        if self._exchange is not None:
            self._exchange.request.size += self._unread[0]
            self._exchange.response.size += self._unread[1]
        self._unread = [0, 0]


def _headers(event: h11.Request | h11.Response | h11.InformationalResponse) -> Headers:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in event.headers.raw_items()]
