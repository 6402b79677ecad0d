"""How long a NAT keeps a mapping that nothing uses. Source: RFC 5780 section 4.6."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from p2p.address import TransportAddress
from p2p.defaults import (
    NAT_LIFETIME_ASK_INTERVAL_S,
    NAT_LIFETIME_ASKS,
    NAT_LIFETIME_POINTS_S,
    NAT_LIFETIME_PRECISION,
    NAT_LIFETIME_PRECISION_S,
    NAT_LIFETIME_SPLIT,
)
from p2p.errors import DecodeError
from p2p.proto.stun.attributes import RESPONSE_PORT
from p2p.proto.stun.behaviour_events import SocketDatagram
from p2p.proto.stun.client import mapped_address
from p2p.proto.stun.message import (
    TRANSACTION_ID_BYTES,
    AttributeValue,
    Message,
    MessageClass,
    Method,
    decode_untrusted,
    encode,
    is_stun,
)

ASKING_SOCKET: Final = 0
"""The socket that asks the server to answer others; they are counted from 1."""


class LifetimeProblem(enum.Enum):
    """Why nothing can be found out."""

    NO_SERVER = "the STUN server does not answer"
    NOT_SUPPORTED = "the STUN server does not answer to another port than it was asked from (RESPONSE-PORT, RFC 5780)"
    NOT_LET_IN = "answers that another socket of ours has asked for do not come in"


@dataclass(frozen=True, slots=True)
class Lifetime:
    """What is known.

    Attributes:
        at_least_s: A mapping was there after so many seconds without traffic.
        at_most_s: One was gone after so many; None while none was.
        is_done: Whether the search is over.
        problem: Why it ended without a result.
    """

    at_least_s: float = 0.0
    at_most_s: float | None = None
    is_done: bool = False
    problem: LifetimeProblem | None = None


@dataclass(slots=True)
class _Probe:
    """A mapping that is left alone for a time, then asked through.

    Attributes:
        socket: Whose mapping it is.
        wait_s: For how long it is left alone.
        mapped: Its outside address, once known.
        next_at: When it is asked for, or through, next.
        asks: How often it was, in this stage.
        is_server_there: Whether the server answered while nothing came through the mapping.
        is_over: Whether its fate is known.
    """

    socket: int
    wait_s: float
    next_at: float
    mapped: TransportAddress | None = None
    asks: int = 0
    is_server_there: bool = False
    is_over: bool = False


class LifetimeSearch:
    """Machine that narrows down a mapping's lifetime, several times at once.

    Each mapping can be asked once, since that keeps it alive, but many can wait side by side: one round leaves them
    alone for different times, and takes as long as the longest. The next round divides the gap between the longest that
    lived and the shortest that died. Each probe is a socket of its own that asks for its mapped address; when its time
    is up, socket 0 has the server send an answer to that port, from where the probe's own answer came, so that no
    filter stops it.

    Driven by: whoever owns socket 0 and opens a fresh one whenever a datagram names a number for the first time.
    States: control, whether the server can do it at all; rounds; done.
    Timers: repetitions, the end of each wait.

    Args:
        server: A STUN server that knows RESPONSE-PORT.
        random_bytes: Gives as many unpredictable bytes as asked for: transaction ids.
        limit_s: The longest wait. The whole takes about twice as long at worst.

    Attributes:
        result: What is known so far.
    """

    def __init__(self, server: TransportAddress, random_bytes: Callable[[int], bytes], *, limit_s: float) -> None:
        self.result = Lifetime()
        self._server = server
        self._random_bytes = random_bytes
        self._limit_s = limit_s
        self._probes: list[_Probe] = []
        self._questions: dict[bytes, tuple[_Probe, bool]] = {}
        self._sockets = ASKING_SOCKET
        self._ends_at = 0.0
        self._server_answered = False
        self._is_control = True
        self._outgoing: list[SocketDatagram] = []

    def start(self, now: float) -> None:
        """Begin, once.

        Args:
            now: The monotonic instant in seconds.
        """
        self._ends_at = now + 2 * self._limit_s
        self._begin_round([0.0], now)

    # --- the verbs -----------------------------------------------------------------------------------------
    def receive_datagram(self, data: bytes, source: TransportAddress, now: float, socket: int) -> bool:
        """Take a datagram from the network.

        Args:
            data: The datagram.
            source: Who sent it.
            now: The monotonic instant in seconds.
            socket: At which socket it arrived.

        Returns:
            Whether it was about this search.
        """
        if source != self._server or not is_stun(data):
            return False
        try:
            message = decode_untrusted(data)
        except DecodeError:
            return False
        question = self._questions.get(message.transaction_id)
        if question is None or message.method != Method.BINDING:
            return False
        probe, is_through = question
        if socket not in (probe.socket, ASKING_SOCKET) or probe.is_over:
            return True
        if message.message_class is MessageClass.ERROR:
            self._end(LifetimeProblem.NOT_SUPPORTED if is_through else LifetimeProblem.NO_SERVER)
        elif message.message_class is MessageClass.SUCCESS and is_through:
            # A server that does not know RESPONSE-PORT answers where it was asked from.
            if socket == ASKING_SOCKET:
                self._end(LifetimeProblem.NOT_SUPPORTED)
            else:
                self._lived(probe, now)
        elif message.message_class is MessageClass.SUCCESS and probe.mapped is None:
            self._mapped(probe, mapped_address(message), now)
        elif message.message_class is MessageClass.SUCCESS:
            probe.is_server_there = True
        return True

    def datagrams_to_send(self, now: float) -> list[SocketDatagram]:
        """Take what must be sent, in order."""
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    def get_timer(self) -> float | None:
        """When ``handle_timer`` must be called next, or None."""
        if self.result.is_done:
            return None
        return min((probe.next_at for probe in self._probes if not probe.is_over), default=None)

    def handle_timer(self, now: float) -> None:
        """Ask what is due."""
        for probe in self._probes:
            if not self.result.is_done and not probe.is_over and now >= probe.next_at:
                self._advance(probe, now)

    # --- inside --------------------------------------------------------------------------------------------
    def _begin_round(self, waits_s: list[float], now: float) -> None:
        self._probes = []
        self._questions.clear()
        for wait_s in waits_s:
            self._sockets += 1
            probe = _Probe(self._sockets, wait_s, now)
            self._probes.append(probe)
            self._advance(probe, now)

    def _advance(self, probe: _Probe, now: float) -> None:
        if probe.asks == NAT_LIFETIME_ASKS:
            self._unanswered(probe, now)
            return
        probe.asks += 1
        probe.next_at = now + NAT_LIFETIME_ASK_INTERVAL_S
        if probe.mapped is None:
            self._ask(probe, probe.socket, is_through=False)
        else:
            self._ask(probe, ASKING_SOCKET, is_through=True)
            # Whether the server is still there, when nothing comes through.
            self._ask(probe, ASKING_SOCKET, is_through=False)

    def _ask(self, probe: _Probe, socket: int, *, is_through: bool) -> None:
        attributes: tuple[AttributeValue, ...] = ()
        if is_through and probe.mapped is not None:
            attributes = (RESPONSE_PORT(probe.mapped.port),)
        transaction_id = self._random_bytes(TRANSACTION_ID_BYTES)
        self._questions[transaction_id] = probe, is_through
        request = encode(Message(MessageClass.REQUEST, Method.BINDING, transaction_id, attributes))
        self._outgoing.append(SocketDatagram(request, self._server, socket))

    def _mapped(self, probe: _Probe, mapped: TransportAddress | None, now: float) -> None:
        if mapped is None:
            self._end(LifetimeProblem.NO_SERVER)
            return
        self._server_answered = True
        probe.mapped = mapped
        probe.asks = 0
        probe.next_at = now + probe.wait_s

    def _lived(self, probe: _Probe, now: float) -> None:
        probe.is_over = True
        if self._is_control:
            self._is_control = False
            points = [point for point in NAT_LIFETIME_POINTS_S if point < self._limit_s]
            self._begin_round([*points, self._limit_s], now)
            return
        self.result = replace(self.result, at_least_s=max(self.result.at_least_s, probe.wait_s))
        self._conclude(now)

    def _unanswered(self, probe: _Probe, now: float) -> None:
        probe.is_over = True
        if self._is_control:
            self._end(LifetimeProblem.NOT_LET_IN if self._server_answered else LifetimeProblem.NO_SERVER)
            return
        # Where the server was away this one proves nothing.
        if probe.is_server_there:
            known = self.result.at_most_s
            self.result = replace(self.result, at_most_s=probe.wait_s if known is None else min(known, probe.wait_s))
            for other in self._probes:
                # What is left alone for longer does not live longer.
                other.is_over = other.is_over or other.wait_s >= probe.wait_s
        self._conclude(now)

    def _conclude(self, now: float) -> None:
        if any(not probe.is_over for probe in self._probes):
            return
        low, high = self.result.at_least_s, self.result.at_most_s
        is_exact = high is not None and high - low <= max(NAT_LIFETIME_PRECISION_S, NAT_LIFETIME_PRECISION * high)
        if high is None or is_exact or now + high > self._ends_at:
            self._end(None)
            return
        gap_s = (high - low) / NAT_LIFETIME_SPLIT
        self._begin_round([low + gap_s * number for number in range(1, NAT_LIFETIME_SPLIT)], now)

    def _end(self, problem: LifetimeProblem | None) -> None:
        self.result = replace(self.result, is_done=True, problem=problem)
