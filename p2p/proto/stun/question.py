"""One question of the behaviour tests: a request that goes out several times from one socket."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from p2p.address import TransportAddress
from p2p.defaults import (
    NAT_TEST_INTERVAL_S,
    NAT_TEST_LAST_WAIT_S,
    NAT_TEST_REQUESTS,
    NAT_UDP_LAST_WAIT_S,
    NAT_UDP_REQUESTS,
)
from p2p.proto.stun.attributes import CHANGE_REQUEST, ChangeRequest
from p2p.proto.stun.message import AttributeValue, Message, MessageClass, Method, encode
from p2p.proto.stun.transaction import Transaction


class Purpose(enum.Enum):
    """What is to be found out."""

    PRIMARY = enum.auto()
    """Our address, and whether UDP passes."""
    CONTROL = enum.auto()
    """Whether the socket of the filtering tests gets ordinary answers."""
    SAMPLE = enum.auto()
    """Which port a new mapping gets."""
    MAPPING = enum.auto()
    """Our address as another address of the server sees it."""
    OTHER_PORT = enum.auto()
    """Whether an answer from another port comes in."""
    OTHER_IP = enum.auto()
    """Whether an answer from another IP address and port comes in."""
    HAIRPIN = enum.auto()
    """Whether a socket of ours is reached at its mapped address."""


CHANGES: Final = {
    Purpose.OTHER_PORT: ChangeRequest(change_ip=False, change_port=True),
    Purpose.OTHER_IP: ChangeRequest(change_ip=True, change_port=True),
}
"""From where the server is to answer."""


@dataclass(slots=True)
class Question:
    """A request and what became of it.

    Attributes:
        purpose: What is to be found out.
        socket: From which socket it goes.
        destination: Whom it goes to.
        transaction: When it goes out.
        succeeded: None while it runs or when nothing can be concluded, else whether the answer came.
        running: Whether an answer may still come.
        mapped_address: Our address in the answer.
        took_s: From the first request to the answer.
        round_trip_s: The same, when it is clear which request was answered.
    """

    purpose: Purpose
    socket: int
    destination: TransportAddress
    transaction: Transaction
    succeeded: bool | None = None
    running: bool = True
    mapped_address: TransportAddress | None = None
    took_s: float = 0.0
    round_trip_s: float | None = None

    @classmethod
    def make(
        cls, purpose: Purpose, socket: int, destination: TransportAddress, transaction_id: bytes, now: float
    ) -> Question:
        """Prepare a question.

        Args:
            purpose: What is to be found out.
            socket: From which socket.
            destination: Whom to ask.
            transaction_id: Unpredictable.
            now: The monotonic instant in seconds.
        """
        attributes: tuple[AttributeValue, ...] = ()
        if purpose in CHANGES:
            attributes = (CHANGE_REQUEST(CHANGES[purpose]),)
        request = encode(Message(MessageClass.REQUEST, Method.BINDING, transaction_id, attributes))
        if purpose is Purpose.PRIMARY:
            transaction = Transaction(request, now, max_requests=NAT_UDP_REQUESTS, last_wait_s=NAT_UDP_LAST_WAIT_S)
        else:
            transaction = Transaction(
                request,
                now,
                rto_s=NAT_TEST_INTERVAL_S,
                backoff=1.0,
                max_requests=NAT_TEST_REQUESTS,
                last_wait_s=NAT_TEST_LAST_WAIT_S,
            )
        return cls(purpose, socket, destination, transaction)

    def end(self, *, succeeded: bool | None) -> None:
        """Take no answer any more.

        Args:
            succeeded: See the attribute.
        """
        self.running = False
        self.succeeded = succeeded
