"""Knocking: the dialer's side of a knock, piece by piece over UDP."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from p2p.address import TransportAddress
from p2p.defaults import KNOCK_WAITS_S
from p2p.errors import DecodeError
from p2p.proto.machine import Datagram
from p2p.proto.stun.attributes import KNOCK, KNOCK_TAKEN
from p2p.proto.stun.client import mapped_address
from p2p.proto.stun.message import (
    TRANSACTION_ID_BYTES,
    Message,
    MessageClass,
    Method,
    decode_untrusted,
    encode,
    is_stun,
)


class KnockAnswered(NamedTuple):
    """A STUN server has answered a piece.

    Attributes:
        mapped_address: Where it sees us.
        is_taken: Whether it has passed the whole knock on.
    """

    mapped_address: TransportAddress
    is_taken: bool


class Knocker:
    """Machine for one knock at one server.

    Driven by: whoever owns the socket.
    States: asking since ``start``, until every piece is answered or has been sent once after each of ``KNOCK_WAITS_S``.
    Timers: the next round of what is not answered.
    Events: ``KnockAnswered``, at most one for each piece.

    Args:
        server: Where the rendezvous serves STUN; only answers from its address are heard.
        pieces: From ``make_pieces``.
        random_bytes: Gives as many unpredictable bytes as asked for: transaction ids.
    """

    def __init__(self, server: TransportAddress, pieces: Sequence[bytes], random_bytes: Callable[[int], bytes]) -> None:
        self.server = server
        self._requests: dict[bytes, bytes] = {}
        for piece in pieces:
            transaction_id = random_bytes(TRANSACTION_ID_BYTES)
            message = Message(MessageClass.REQUEST, Method.BINDING, transaction_id, (KNOCK(piece),))
            self._requests[transaction_id] = encode(message)
        self._waits_s = iter(KNOCK_WAITS_S)
        self._next_at: float | None = None
        self._outgoing: list[Datagram] = []
        self._events: deque[KnockAnswered] = deque()

    def start(self, now: float) -> None:
        """Send all pieces."""
        self._next_at = now
        self.handle_timer(now)

    def receive_datagram(self, data: bytes, source: TransportAddress, now: float) -> bool:
        """Take an answer; see ``DatagramMachine``."""
        if source != self.server or not is_stun(data):
            return False
        try:
            message = decode_untrusted(data)
        except DecodeError:
            return False
        if message.message_class is not MessageClass.SUCCESS:
            return False
        if self._requests.pop(message.transaction_id, None) is None:
            return False
        address = mapped_address(message)
        if address is not None:
            self._events.append(KnockAnswered(address, message.get(KNOCK_TAKEN) is not None))
        if not self._requests:
            self._next_at = None
        return True

    def datagrams_to_send(self, now: float) -> list[Datagram]:
        """Take what must be sent, in order."""
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    def get_timer(self) -> float | None:
        """When ``handle_timer`` must be called next, or None."""
        return self._next_at

    def handle_timer(self, now: float) -> None:
        """Send what is not answered, again and again, and then no more."""
        if self._next_at is None or now < self._next_at:
            return
        self._outgoing += [Datagram(request, self.server) for request in self._requests.values()]
        wait_s = next(self._waits_s, None)
        self._next_at = None if wait_s is None else now + wait_s

    def next_event(self) -> KnockAnswered | None:
        """Take the oldest event, or None."""
        return self._events.popleft() if self._events else None
