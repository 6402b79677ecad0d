"""Questions to a STUN server from many sockets: which port does the NAT give to each?"""

from __future__ import annotations

from collections.abc import Callable

from p2p.address import TransportAddress
from p2p.defaults import GUESS_ASK_INTERVAL_S
from p2p.proto.path.plans.commands import AskServer
from p2p.proto.stun.client import mapped_address
from p2p.proto.stun.message import TRANSACTION_ID_BYTES, Message, MessageClass, Method, encode


class Questions:
    """Binding requests, one for each socket that asks, repeated until they are answered.

    Args:
        server: Who is asked.
        random_bytes: Where transaction ids come from.

    Attributes:
        answers: The mapped address of each socket that was answered.

    Source: RFC 8489 section 6.
    """

    def __init__(self, server: TransportAddress, random_bytes: Callable[[int], bytes]) -> None:
        self.answers: dict[int, TransportAddress] = {}
        self._server = server
        self._random_bytes = random_bytes
        self._pending: dict[bytes, AskServer] = {}
        self._again_at: float | None = None

    @property
    def is_answered(self) -> bool:
        """Whether nobody waits for an answer."""
        return not self._pending

    def ask(self, socket: int, now: float) -> AskServer:
        """Ask for the mapped address of a socket."""
        transaction_id = self._random_bytes(TRANSACTION_ID_BYTES)
        request = encode(Message(MessageClass.REQUEST, Method.BINDING, transaction_id, ()))
        question = self._pending[transaction_id] = AskServer(socket, self._server, request)
        self._again_at = self._again_at or now + GUESS_ASK_INTERVAL_S
        return question

    def receive(self, message: Message, socket: int) -> bool:
        """Take a message that arrived at a socket.

        Returns:
            Whether it answers a question of that socket.
        """
        question = self._pending.get(message.transaction_id)
        if question is None or question.socket != socket or message.message_class is not MessageClass.SUCCESS:
            return False
        address = mapped_address(message)
        if address is not None:
            self.answers[socket] = address
            del self._pending[message.transaction_id]
        return True

    def get_timer(self) -> float | None:
        """When questions must be repeated, or None."""
        return self._again_at if self._pending else None

    def repeat(self, now: float) -> list[AskServer]:
        """Return the questions that must be sent again now."""
        if not self._pending or self._again_at is None or now < self._again_at:
            return []
        self._again_at = now + GUESS_ASK_INTERVAL_S
        return list(self._pending.values())
