"""The control stream as a state machine: who is there, may it come in, how far may it send, and goodbye."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from enum import Enum, auto
from typing import Final, NamedTuple, TypeAlias

from p2p.errors import LocalProtocolError, RemoteProtocolError
from p2p.proto.tunnel.codes import CODE_CONTROL_ORDER, CODE_VERSION_MISMATCH, RefusalCode
from p2p.proto.tunnel.frames import (
    AuthRequest,
    AuthResult,
    Credit,
    Drain,
    Drained,
    End,
    Frame,
    Goodbye,
    Hello,
    Ping,
    Pong,
    decode_frame_untrusted,
    encode_frame,
    frame_length_untrusted,
)

PROTOCOL_VERSIONS: Final = (1,)
_PINGS_REMEMBERED: Final = 8


class Role(Enum):
    """Which side of the session this is."""

    DIALER = auto()
    """Opened the QUIC connection and wants a service."""
    EXPOSER = auto()
    """Has a service on offer and decides who may use it."""


class State(Enum):
    """Where the control stream stands, as this side sees it."""

    AWAIT_HELLO = auto()
    """Nothing was heard from the other side."""
    AWAIT_AUTH = auto()
    """Exposer: the dialer's hello has arrived."""
    JUDGING = auto()
    """Exposer: the dialer's request has arrived, and the verdict is ours to give."""
    AWAIT_RESULT = auto()
    """Dialer: the exposer's hello has arrived."""
    OPEN = auto()
    """The dialer is accepted."""
    CLOSED = auto()
    """Refused, said goodbye, or the protocol was broken; nothing more is heard."""


class HelloReceived(NamedTuple):
    """The other side introduced itself."""

    hello: Hello
    version: int
    """The protocol version that both sides use from now on."""


class AuthReceived(NamedTuple):
    """Exposer: the dialer asks to be let in. Answer with ``accept`` or ``refuse``."""

    request: AuthRequest


class Accepted(NamedTuple):
    """Dialer: the exposer lets us in."""


class Refused(NamedTuple):
    """Dialer: the exposer does not let us in."""

    code: int
    text: str


class CreditGranted(NamedTuple):
    """The other side is ready to receive more on a stream."""

    stream_id: int
    max_offset: int


class EndAnnounced(NamedTuple):
    """The other side has sent all it will on a stream: so many bytes."""

    stream_id: int
    final_offset: int


class RttMeasured(NamedTuple):
    """An answer to a ping came back after ``rtt_s`` seconds."""

    rtt_s: float


class DrainRequested(NamedTuple):
    """The other side opens no new flows and asks us not to; report it when the last one has ended."""


class PeerDrained(NamedTuple):
    """The other side's last flow has ended."""


class GoodbyeReceived(NamedTuple):
    """The other side ends the session."""

    code: int
    reason: str


class ControlBroken(NamedTuple):
    """The other side broke the protocol: the connection must be closed."""

    error: RemoteProtocolError


ControlEvent: TypeAlias = (
    HelloReceived
    | AuthReceived
    | Accepted
    | Refused
    | CreditGranted
    | EndAnnounced
    | RttMeasured
    | DrainRequested
    | PeerDrained
    | GoodbyeReceived
    | ControlBroken
)

_WHEN_OPEN: Final[frozenset[type[Frame]]] = frozenset({Credit, End, Ping, Pong, Drain, Drained, Goodbye})
_ALLOWED: Final[Mapping[State, frozenset[type[Frame]]]] = {
    State.AWAIT_HELLO: frozenset({Hello}),
    State.AWAIT_AUTH: frozenset({AuthRequest}),
    State.JUDGING: frozenset(),
    State.AWAIT_RESULT: frozenset({AuthResult}),
    State.OPEN: _WHEN_OPEN,
    State.CLOSED: frozenset(),
}


class ControlChannel:
    """One side of the control stream.

    Driven by: ``receive`` and ``receive_end`` for what arrives, and the commands. After each of them take
    ``next_event`` until it returns None, and send what ``data_to_send`` returns. Frames are decoded one by one as
    events are taken, so that an answer given to one event is in force for the frame behind it.

    States: see ``State``. The dialer goes AWAIT_HELLO, AWAIT_RESULT, OPEN; the exposer AWAIT_HELLO, AWAIT_AUTH,
    JUDGING, OPEN. Both end in CLOSED.

    Timers: none; QUIC itself keeps an idle connection alive.

    Events: see ``ControlEvent``. ``Refused``, ``GoodbyeReceived`` and ``ControlBroken`` are the last of their channel.

    What waits to be sent is bounded: credit is kept as one offset a stream, and only the last ping is answered.
    """

    __slots__ = (
        "_buffer",
        "_credits",
        "_ended",
        "_ends",
        "_frames",
        "_hello",
        "_next_ping_id",
        "_now",
        "_pings",
        "_pong_due",
        "_started",
        "role",
        "state",
    )

    def __init__(self, role: Role, hello: Hello) -> None:
        self.role = role
        self.state = State.AWAIT_HELLO
        self._hello = hello
        self._now = 0.0
        self._buffer = bytearray()
        self._frames: deque[bytes] = deque()
        self._credits: dict[int, int] = {}
        self._ends: dict[int, int] = {}
        self._pong_due: int | None = None
        self._next_ping_id = 0
        self._pings: dict[int, float] = {}
        self._started = False
        self._ended = False

    # --- commands ----------------------------------------------------------------------------------------------

    def authenticate(self, request: AuthRequest, hello: Hello | None = None) -> None:
        """Dialer: introduce ourselves and ask to be let in; must be the first command.

        Args:
            request: Who we are, and what we want.
            hello: How to introduce ourselves; None for what was given at first.

        Raises:
            LocalProtocolError: We are the exposer, or have asked already.
        """
        if self.role is not Role.DIALER or self._started:
            raise LocalProtocolError("only a dialer authenticates, and only once")
        self._started = True
        self._hello = hello or self._hello
        self._frames += encode_frame(self._hello), encode_frame(request)

    def accept(self, hello: Hello | None = None) -> None:
        """Exposer: let the dialer in.

        Args:
            hello: How to introduce ourselves; None for what was given at first.

        Raises:
            LocalProtocolError: No request waits for a verdict.
        """
        self._hello = hello or self._hello
        self._answer(AuthResult(0))
        self.state = State.OPEN

    def refuse(self, code: RefusalCode, text: str = "") -> None:
        """Exposer: turn the dialer away. The connection should be closed once the answer is sent.

        Args:
            code: Why.
            text: Words for the other side's user, at most 256 bytes of UTF-8.

        Raises:
            LocalProtocolError: No request waits for a verdict.
        """
        self._answer(AuthResult(code, text))
        self.state = State.CLOSED

    def grant_credit(self, stream_id: int, max_offset: int) -> None:
        """Let the other side send more on a stream; a later grant replaces one that was not sent yet."""
        self._credits[stream_id] = max_offset

    def announce_end(self, stream_id: int, final_offset: int) -> None:
        """Tell the other side where a stream ends; before the session is open it waits."""
        self._ends[stream_id] = final_offset

    def ping(self, now: float) -> None:
        """Measure the round trip; the answer becomes ``RttMeasured``."""
        self._require_open()
        if len(self._pings) >= _PINGS_REMEMBERED:
            del self._pings[min(self._pings)]
        self._pings[self._next_ping_id] = now
        self._frames.append(encode_frame(Ping(self._next_ping_id)))
        self._next_ping_id += 1

    def drain(self) -> None:
        """Ask the other side to open no more flows."""
        self._require_open()
        self._frames.append(encode_frame(Drain()))

    def report_drained(self) -> None:
        """Tell the other side, which has asked for it, that our last flow has ended."""
        self._require_open()
        self._frames.append(encode_frame(Drained()))

    def goodbye(self, code: int, reason: str = "") -> None:
        """End the session; the connection should be closed once this is sent."""
        self._require_open()
        self._frames.append(encode_frame(Goodbye(code, reason)))
        self.state = State.CLOSED

    # --- network -----------------------------------------------------------------------------------------------

    def receive(self, data: bytes | memoryview, now: float) -> None:
        """Take bytes of the control stream, in order, in pieces of any size."""
        self._now = now
        if self.state is not State.CLOSED:
            self._buffer += data

    def receive_end(self) -> None:
        """Take note that the other side ended or reset the control stream."""
        self._ended = True

    def data_to_send(self) -> bytes:
        """Take what must go onto the control stream; empty when there is nothing."""
        has_ends = bool(self._ends) and self.state is State.OPEN
        if not (self._frames or self._credits or has_ends or self._pong_due is not None):
            return b""
        frames = list(self._frames)
        self._frames.clear()
        if self._pong_due is not None:
            frames.append(encode_frame(Pong(self._pong_due)))
            self._pong_due = None
        if self._credits:
            frames += [encode_frame(Credit(stream_id, offset)) for stream_id, offset in self._credits.items()]
            self._credits.clear()
        if has_ends:
            frames += [encode_frame(End(stream_id, offset)) for stream_id, offset in self._ends.items()]
            self._ends.clear()
        return b"".join(frames)

    def next_event(self) -> ControlEvent | None:
        """Take the oldest event, or None."""
        while self.state is not State.CLOSED:
            try:
                frame = self._next_frame()
                if frame is None:
                    return None
                event = self._handle(frame)
            except RemoteProtocolError as error:
                self._close()
                return ControlBroken(error)
            if event is not None:
                return event
        return None

    # --- inside ------------------------------------------------------------------------------------------------

    def _next_frame(self) -> Frame | None:
        while True:
            length = frame_length_untrusted(self._buffer)
            if length is None or length > len(self._buffer):
                if self._ended:
                    raise RemoteProtocolError("the control stream ended without a goodbye", code=CODE_CONTROL_ORDER)
                return None
            data = bytes(self._buffer[:length])
            del self._buffer[:length]
            frame = decode_frame_untrusted(data)
            if frame is not None:
                return frame
            if self.state is not State.OPEN:
                raise self._out_of_order(f"frame of type {data[0]:#04x}")

    def _handle(self, frame: Frame) -> ControlEvent | None:
        if type(frame) not in _ALLOWED[self.state]:
            raise self._out_of_order(type(frame).__name__)
        match frame:
            case Credit(stream_id, max_offset):
                return CreditGranted(stream_id, max_offset)
            case End(stream_id, final_offset):
                return EndAnnounced(stream_id, final_offset)
            case Ping(ping_id):
                self._pong_due = ping_id
                return None
            case Pong(ping_id):
                sent_at = self._pings.pop(ping_id, None)
                return None if sent_at is None else RttMeasured(self._now - sent_at)
            case Drain():
                return DrainRequested()
            case Drained():
                return PeerDrained()
            case Goodbye(code, reason):
                self._close()
                return GoodbyeReceived(code, reason)
            case Hello():
                return self._handle_hello(frame)
            case AuthRequest():
                self.state = State.JUDGING
                return AuthReceived(frame)
            case AuthResult(code, text):
                return self._handle_result(code, text)

    def _handle_hello(self, hello: Hello) -> HelloReceived:
        common = set(hello.versions) & set(self._hello.versions)
        if not common:
            if self.role is Role.EXPOSER:
                self.state = State.JUDGING
                self.refuse(RefusalCode.VERSION_UNSUPPORTED, f"this side speaks {list(self._hello.versions)}")
            raise RemoteProtocolError(
                f"peer speaks versions {list(hello.versions)}, we speak {list(self._hello.versions)}",
                code=CODE_VERSION_MISMATCH,
            )
        self.state = State.AWAIT_AUTH if self.role is Role.EXPOSER else State.AWAIT_RESULT
        return HelloReceived(hello, max(common))

    def _handle_result(self, code: int, text: str) -> Accepted | Refused:
        if code == 0:
            self.state = State.OPEN
            return Accepted()
        self._close()
        return Refused(code, text)

    def _answer(self, result: AuthResult) -> None:
        if self.state is not State.JUDGING:
            raise LocalProtocolError(f"no request waits for a verdict in state {self.state.name}")
        self._frames += encode_frame(self._hello), encode_frame(result)

    def _require_open(self) -> None:
        if self.state is not State.OPEN:
            raise LocalProtocolError(f"not allowed in state {self.state.name}")

    def _out_of_order(self, what: str) -> RemoteProtocolError:
        return RemoteProtocolError(f"{what} in state {self.state.name}", code=CODE_CONTROL_ORDER)

    def _close(self) -> None:
        self.state = State.CLOSED
        self._buffer.clear()
