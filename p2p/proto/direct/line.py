"""One address that messages are exchanged with: the next message to it, and the one that comes from it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from p2p.address import TransportAddress
from p2p.defaults import DIRECT_FIRST_RETRY_S, DIRECT_PIECE_BYTES
from p2p.proto.direct.datagram import DirectDatagram


@dataclass(slots=True)
class Outgoing:
    """A message on its way.

    Attributes:
        number: What its sender calls it.
        message_id: What it is called on the wire.
        pieces: Its parts.
        received: Bits of those that have arrived.
        attempts: How often what is missing was sent.
    """

    number: int
    message_id: bytes
    pieces: tuple[bytes, ...]
    received: int = 0
    attempts: int = 0

    @property
    def is_complete(self) -> bool:
        """Whether all of it has arrived."""
        return self.received == (1 << len(self.pieces)) - 1

    def missing(self) -> list[int]:
        """The parts that have not arrived, as far as known."""
        return [index for index in range(len(self.pieces)) if not self.received >> index & 1]


@dataclass(slots=True)
class Line:
    """What is known of one address.

    Attributes:
        address: The other side.
        their_cookie: What it wants to see in ours; None until it has answered.
        calls: How often it was called in this round; None when it is not being called.
        due_at: When to call again, or to send again what is missing; None when nothing waits.
        outbox: Messages to it, the first one on its way.
        incoming_id: The message that is being put together.
        incoming: Its pieces so far.
        done: Messages that were complete, of late.
    """

    address: TransportAddress
    their_cookie: bytes | None = field(default=None, repr=False)
    calls: int | None = None
    due_at: float | None = None
    outbox: deque[Outgoing] = field(default_factory=deque)
    incoming_id: bytes = b""
    incoming: dict[int, bytes] = field(default_factory=dict)
    done: deque[bytes] = field(default_factory=lambda: deque(maxlen=8))

    def begin(self, message_id: bytes) -> None:
        """Put another message together; one that was begun is dropped, for its sender has given it up."""
        self.incoming_id = message_id
        self.incoming = {}

    def add(self, piece: DirectDatagram) -> bytes | None:
        """Add a piece of the message that is being put together.

        Returns:
            The message, when it is complete.
        """
        self.incoming[piece.index] = piece.payload
        if len(self.incoming) < piece.count:
            return None
        message = b"".join(self.incoming[index] for index in sorted(self.incoming))
        self.done.append(piece.message_id)
        self.incoming = {}
        self.incoming_id = b""
        return message


def cut(message: bytes) -> tuple[bytes, ...]:
    """Cut a message into pieces.

    Args:
        message: Not empty.
    """
    return tuple(message[start : start + DIRECT_PIECE_BYTES] for start in range(0, len(message), DIRECT_PIECE_BYTES))


def retry_after_s(attempts: int, most_s: float = float("inf")) -> float:
    """How long to wait after so many attempts: twice as long each time.

    Args:
        attempts: At least 1.
        most_s: The longest wait.
    """
    return min(most_s, DIRECT_FIRST_RETRY_S * 2.0 ** (attempts - 1))
