"""Asking a STUN server for our address. Source: RFC 8489 sections 6 and 11."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from p2p.address import TransportAddress
from p2p.defaults import STUN_INITIAL_RTO_S, STUN_MAX_REQUESTS
from p2p.errors import ConnectivityError, DecodeError
from p2p.proto.machine import Datagram
from p2p.proto.stun.attributes import (
    ALTERNATE_SERVER,
    ERROR_CODE,
    MAPPED_ADDRESS,
    OTHER_ADDRESS,
    RESPONSE_ORIGIN,
    XOR_MAPPED_ADDRESS,
)
from p2p.proto.stun.errors import CODE_NO_ANSWER, CODE_REFUSED
from p2p.proto.stun.message import (
    TRANSACTION_ID_BYTES,
    Message,
    MessageClass,
    Method,
    decode_untrusted,
    encode,
    is_stun,
)
from p2p.proto.stun.transaction import Step, Transaction


@dataclass(frozen=True, slots=True)
class BindingSucceeded:
    """The server told us our address.

    Attributes:
        server: Whom we asked.
        mapped_address: Our address as the server sees it.
        round_trip_s: How long the answer took, in seconds; None when the request was sent more than once.
        other_address: The server's second address and port, for the tests of RFC 5780; None when it has none.
        response_origin: From where it says that it answered; None when it does not say.
    """

    server: TransportAddress
    mapped_address: TransportAddress
    round_trip_s: float | None = None
    other_address: TransportAddress | None = None
    response_origin: TransportAddress | None = None


@dataclass(frozen=True, slots=True)
class BindingFailed:
    """The server did not tell us our address.

    Attributes:
        server: Whom we asked.
        error: For the user.
        stun_code: The code of the server's answer; None when there was none.
        alternate_server: Where the server sends us instead, with code 300.
    """

    server: TransportAddress
    error: ConnectivityError
    stun_code: int | None = None
    alternate_server: TransportAddress | None = None


BindingEvent: TypeAlias = BindingSucceeded | BindingFailed


def mapped_address(message: Message) -> TransportAddress | None:
    """Return the address that a Binding response tells, also a classic one; None when it tells none."""
    return message.get(XOR_MAPPED_ADDRESS) or message.get(MAPPED_ADDRESS)


class BindingClient:
    """Machine for Binding requests from one socket to one server, one at a time.

    Driven by: whoever owns the socket, or the stream to the server cut by ``StreamFramer``.
    States: idle, or waiting for an answer after ``start``; an event ends the waiting.
    Timers: retransmission and end of the request.
    Events: ``BindingSucceeded`` or ``BindingFailed``, one for each ``start``.

    Args:
        server: The server; only answers from its address are heard.
        random_bytes: Gives as many unpredictable bytes as asked for: transaction ids.
        reliable: Whether a byte stream carries it.
        rto_s: The first retransmission, in seconds.
        max_requests: How often the request is sent in all.
    """

    def __init__(
        self,
        server: TransportAddress,
        random_bytes: Callable[[int], bytes],
        *,
        reliable: bool = False,
        rto_s: float = STUN_INITIAL_RTO_S,
        max_requests: int = STUN_MAX_REQUESTS,
    ) -> None:
        self.server = server
        self._random_bytes = random_bytes
        self._reliable = reliable
        self._rto_s = rto_s
        self._max_requests = max_requests
        self._transaction_id = b""
        self._transaction: Transaction | None = None
        self._outgoing: list[Datagram] = []
        self._events: deque[BindingEvent] = deque()

    def start(self, now: float) -> None:
        """Ask, unless an answer is awaited already.

        Args:
            now: The monotonic instant in seconds.
        """
        if self._transaction is not None:
            return
        self._transaction_id = self._random_bytes(TRANSACTION_ID_BYTES)
        message = Message(MessageClass.REQUEST, Method.BINDING, self._transaction_id)
        self._transaction = Transaction(
            encode(message, fingerprint=not self._reliable),
            now,
            reliable=self._reliable,
            rto_s=self._rto_s,
            max_requests=self._max_requests,
        )
        self.handle_timer(now)

    def receive_datagram(self, data: bytes, source: TransportAddress, now: float) -> bool:
        """Take a datagram from the network.

        Args:
            data: The datagram, or a message of the stream.
            source: Who sent it.
            now: The monotonic instant in seconds.

        Returns:
            Whether it was the answer that is awaited.
        """
        transaction = self._transaction
        if transaction is None or source != self.server or not is_stun(data):
            return False
        try:
            message = decode_untrusted(data)
        except DecodeError:
            return False
        if message.transaction_id != self._transaction_id or message.method != Method.BINDING:
            return False
        if message.message_class is MessageClass.SUCCESS:
            event = self._succeeded(message, transaction.round_trip_s(now))
        elif message.message_class is MessageClass.ERROR:
            event = self._refused(message)
        else:
            return False
        self._transaction = None
        self._events.append(event)
        return True

    def _succeeded(self, message: Message, round_trip_s: float | None) -> BindingEvent:
        address = mapped_address(message)
        if address is None or message.unknown_required:
            error = ConnectivityError(f"the STUN server {self.server} gave an unusable answer", code=CODE_REFUSED)
            return BindingFailed(self.server, error)
        return BindingSucceeded(
            self.server, address, round_trip_s, message.get(OTHER_ADDRESS), message.get(RESPONSE_ORIGIN)
        )

    def _refused(self, message: Message) -> BindingFailed:
        given = message.get(ERROR_CODE)
        alternate = message.get(ALTERNATE_SERVER)
        detail = f"the STUN server {self.server} refused"
        if given is not None:
            detail += f": {given.code} {given.reason}".rstrip()
        if alternate is not None:
            detail += f" (use {alternate})"
        error = ConnectivityError(detail, code=CODE_REFUSED)
        return BindingFailed(self.server, error, given.code if given is not None else None, alternate)

    def datagrams_to_send(self, now: float) -> list[Datagram]:
        """Take what must be sent, in order."""
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    def get_timer(self) -> float | None:
        """When ``handle_timer`` must be called next, or None."""
        return self._transaction.next_at if self._transaction is not None else None

    def handle_timer(self, now: float) -> None:
        """Send the request again, or give up."""
        if self._transaction is None:
            return
        step = self._transaction.step(now)
        if step is Step.SEND:
            self._outgoing.append(Datagram(self._transaction.request, self.server))
        elif step is Step.GIVE_UP:
            self._transaction = None
            error = ConnectivityError(f"the STUN server {self.server} does not answer", code=CODE_NO_ANSWER)
            self._events.append(BindingFailed(self.server, error))

    def next_event(self) -> BindingEvent | None:
        """Take the oldest event, or None."""
        return self._events.popleft() if self._events else None
