"""Requests of a TURN client on their way: sent, repeated, challenged, answered or given up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from p2p.address import TransportAddress
from p2p.defaults import TURN_BACKOFF, TURN_MAX_CHALLENGES, TURN_MAX_REQUESTS
from p2p.errors import IntegrityError, RelayError
from p2p.proto.machine import Datagram
from p2p.proto.stun.attributes import ERROR_CODE
from p2p.proto.stun.integrity import IntegrityAlgorithm, verify
from p2p.proto.stun.message import (
    TRANSACTION_ID_BYTES,
    AttributeValue,
    Message,
    MessageClass,
    Method,
    encode,
)
from p2p.proto.stun.transaction import Step, Transaction
from p2p.proto.turn.credentials import STALE_NONCE, UNAUTHENTICATED, LongTermCredentials
from p2p.proto.turn.events import CODE_FORGED, CODE_NO_ANSWER, RequestFailure

_UNAUTHENTICATED_ERRORS = frozenset({300, 400, UNAUTHENTICATED, 420, STALE_NONCE})
"""Errors a server may have to send before it knows our key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to ask the relay, and what to do with the answer.

    Attributes:
        method: Such as ``Method.ALLOCATE``.
        attributes: Its attributes but for the credentials.
        succeeded: Called with the authenticated success response and the time.
        failed: Called with the reason and the time.
        max_requests: How often it is sent in all, over datagrams.
    """

    method: Method
    attributes: tuple[AttributeValue, ...]
    succeeded: Callable[[Message, float], None]
    failed: Callable[[RequestFailure, float], None]
    max_requests: int = TURN_MAX_REQUESTS


@dataclass(slots=True)
class _Pending:
    request: Request
    transaction: Transaction
    credentials: tuple[AttributeValue, ...]
    key: bytes | None
    integrity: IntegrityAlgorithm
    challenges: int
    forged: bool = False


class RequestTable:
    """The requests that wait for an answer; a part of ``AllocationClient``.

    Args:
        server: Where requests go.
        credentials: What they are authenticated with; learns from challenges.
        random_bytes: Gives transaction ids.
        reliable: Whether a byte stream carries the requests.
    """

    def __init__(
        self,
        server: TransportAddress,
        credentials: LongTermCredentials,
        random_bytes: Callable[[int], bytes],
        *,
        reliable: bool,
    ) -> None:
        self._server = server
        self._credentials = credentials
        self._random_bytes = random_bytes
        self._reliable = reliable
        self._pending: dict[bytes, _Pending] = {}
        self._outgoing: list[Datagram] = []

    def submit(self, request: Request, now: float, *, challenges: int = 0) -> None:
        """Send a request and wait for its answer.

        Args:
            request: What to ask.
            now: The monotonic instant in seconds.
            challenges: How often the server has asked for other credentials already.
        """
        transaction_id = self._random_bytes(TRANSACTION_ID_BYTES)
        credentials = self._credentials.attributes()
        key, integrity = self._credentials.key, self._credentials.integrity
        message = Message(MessageClass.REQUEST, request.method, transaction_id, request.attributes + credentials)
        data = encode(message, integrity_key=key, integrity=integrity, fingerprint=not self._reliable)
        transaction = Transaction(
            data, now, reliable=self._reliable, max_requests=request.max_requests, backoff=TURN_BACKOFF
        )
        self._pending[transaction_id] = _Pending(request, transaction, credentials, key, integrity, challenges)
        self._advance(transaction_id, now)

    def receive(self, message: Message, now: float) -> bool:
        """Take a response of the server.

        Returns:
            Whether it was an answer to a request of ours.
        """
        pending = self._pending.get(message.transaction_id)
        if pending is None or message.method != pending.request.method:
            return False
        if message.message_class is MessageClass.SUCCESS:
            self._receive_success(pending, message, now)
        elif message.message_class is MessageClass.ERROR:
            self._receive_error(pending, message, now)
        else:
            return False
        return True

    def _receive_success(self, pending: _Pending, message: Message, now: float) -> None:
        if not self._is_authentic(pending, message):
            self._discard(pending, message, now)
            return
        del self._pending[message.transaction_id]
        if message.unknown_required:
            types = ", ".join(f"{kind:#06x}" for kind in message.unknown_required)
            error = RelayError(
                f"the relay answered {pending.request.method.name} with attributes unknown here: {types}"
            )
            pending.request.failed(RequestFailure(error), now)
            return
        pending.request.succeeded(message, now)

    def _receive_error(self, pending: _Pending, message: Message, now: float) -> None:
        error = message.get(ERROR_CODE)
        code = error.code if error else 0
        believable = self._is_authentic(pending, message) or (
            not message.has_integrity and code in _UNAUTHENTICATED_ERRORS
        )
        # A challenge may be authenticated with a key that is no longer ours: it is judged by what it says.
        if not believable and code not in (UNAUTHENTICATED, STALE_NONCE):
            self._discard(pending, message, now)
            return
        del self._pending[message.transaction_id]
        if pending.challenges < TURN_MAX_CHALLENGES and self._credentials.accept_challenge(
            message, pending.credentials
        ):
            self.submit(pending.request, now, challenges=pending.challenges + 1)
            return
        pending.request.failed(RequestFailure.from_response(_name(pending), message), now)

    @staticmethod
    def _is_authentic(pending: _Pending, message: Message) -> bool:
        """Whether the answer is as authentic as the request was."""
        if pending.key is None:
            return True
        try:
            verify(message, pending.key, pending.integrity)
        except IntegrityError:
            return False
        return True

    def _discard(self, pending: _Pending, message: Message, now: float) -> None:
        """Drop an answer that anyone could have sent; over a stream no better one can follow.

        Source: RFC 8489 section 9.2.5.
        """
        pending.forged = True
        if self._reliable:
            self._give_up(message.transaction_id, now)

    def _advance(self, transaction_id: bytes, now: float) -> None:
        transaction = self._pending[transaction_id].transaction
        step = transaction.step(now)
        if step is Step.SEND:
            self._outgoing.append(Datagram(transaction.request, self._server))
        elif step is Step.GIVE_UP:
            self._give_up(transaction_id, now)

    def _give_up(self, transaction_id: bytes, now: float) -> None:
        pending = self._pending.pop(transaction_id)
        if pending.forged:
            error = RelayError(f"the relay's answers to {_name(pending)} do not authenticate", code=CODE_FORGED)
        else:
            error = RelayError(f"the relay {self._server} does not answer {_name(pending)}", code=CODE_NO_ANSWER)
        pending.request.failed(RequestFailure(error), now)

    def clear(self) -> None:
        """Forget all requests; their callbacks are not called."""
        self._pending.clear()

    def send_again(self, method: Method, now: float) -> bool:
        """Send a request that has no answer yet once more, before its time; a byte stream does that by itself.

        Args:
            method: Of the request.
            now: The monotonic instant in seconds.

        Returns:
            Whether there is one.
        """
        for transaction_id, pending in self._pending.items():
            if pending.request.method == method:
                if not self._reliable:
                    pending.transaction.next_at = now
                    self._advance(transaction_id, now)
                return True
        return False

    def datagrams_to_send(self) -> list[Datagram]:
        """Take the requests that are due, in order."""
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    def get_timer(self) -> float | None:
        """When ``handle_timer`` must be called next, or None."""
        return min((pending.transaction.next_at for pending in self._pending.values()), default=None)

    def handle_timer(self, now: float) -> None:
        """Send again or give up what is due."""
        for transaction_id in list(self._pending):
            if transaction_id in self._pending:
                self._advance(transaction_id, now)


def _name(pending: _Pending) -> str:
    return pending.request.method.name.replace("_", " ").title().replace(" ", "")
