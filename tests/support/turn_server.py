"""A scripted TURN server in memory, for tests of the allocation machine with a fake clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from p2p.address import TransportAddress
from p2p.errors import IntegrityError
from p2p.proto.stun.attributes import (
    LIFETIME,
    NONCE,
    REALM,
    USERNAME,
    XOR_MAPPED_ADDRESS,
    XOR_RELAYED_ADDRESS,
)
from p2p.proto.stun.integrity import long_term_key, verify
from p2p.proto.stun.message import AttributeValue, Message, MessageClass, Method, decode_untrusted, encode
from p2p.proto.turn.client import AllocationClient
from p2p.proto.turn.events import AllocationEvent
from tests.support.nat_box import transaction_ids

ADDRESS = TransportAddress("198.51.100.10", 3478)
RELAYED = TransportAddress("198.51.100.10", 50000)
MAPPED = TransportAddress("203.0.113.7", 5555)
KEY = long_term_key("alice", "example.org", "secret")


@dataclass
class ScriptedServer:
    """Answers as told.

    Attributes:
        nonce: The only one it accepts.
        lifetime_s: What it grants.
        refuse: Called with each authenticated request; a code refuses it.
        silent: Whether it answers at all.
        requests: What it was sent, retransmissions included.
        key: What it signs answers with; None leaves them unsigned.
    """

    nonce: str = "nonce 1"
    lifetime_s: int = 600
    refuse: Callable[[Message], int | None] = lambda message: None
    silent: bool = False
    requests: list[Message] = field(default_factory=list)
    key: bytes | None = KEY

    def respond(self, data: bytes) -> bytes | None:
        """Answer a request."""
        request = decode_untrusted(data)
        self.requests.append(request)
        if self.silent:
            return None
        if request.get(USERNAME) is None:
            return self._challenge(request, 401)
        if request.get(NONCE) != self.nonce:
            return self._challenge(request, 438)
        try:
            verify(request, KEY)
        except IntegrityError:
            return self._challenge(request, 401)
        code = self.refuse(request)
        if code is not None:
            return self._sign(request.error_response(code, "refused"))
        return self._sign(request.success_response(*self._success(request)))

    def _challenge(self, request: Message, code: int) -> bytes:
        return encode(request.error_response(code, "", REALM("example.org"), NONCE(self.nonce)))

    def _sign(self, response: Message) -> bytes:
        return encode(response, integrity_key=self.key)

    def _success(self, request: Message) -> tuple[AttributeValue, ...]:
        if request.method == Method.ALLOCATE:
            return XOR_RELAYED_ADDRESS(RELAYED), XOR_MAPPED_ADDRESS(MAPPED), LIFETIME(self.lifetime_s)
        if request.method == Method.REFRESH:
            return (LIFETIME(min(self.lifetime_s, request.get(LIFETIME) or 0)),)
        return ()

    def methods(self) -> list[int]:
        """Return the methods of what it was sent since the last call."""
        methods = [request.method for request in self.requests]
        self.requests.clear()
        return methods


@dataclass
class Bench:
    """An allocation machine, its server and a clock."""

    server: ScriptedServer = field(default_factory=ScriptedServer)
    reliable: bool = False
    options: dict[str, str] = field(default_factory=dict)
    now: float = 100.0
    events: list[AllocationEvent] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.client = AllocationClient(
            server=ADDRESS,
            username="alice",
            password="secret",
            random_bytes=transaction_ids(),
            reliable=self.reliable,
            **self.options,  # type: ignore[arg-type]
        )

    def exchange(self) -> None:
        """Carry datagrams both ways until nothing moves."""
        while datagrams := self.client.datagrams_to_send(self.now):
            for datagram in datagrams:
                assert datagram.destination == ADDRESS
                reply = self.server.respond(datagram.data)
                if reply is not None:
                    self.client.receive_datagram(reply, ADDRESS, self.now)
        while (event := self.client.next_event()) is not None:
            self.events.append(event)

    def run_until(self, end: float) -> None:
        """Let time pass, timer by timer."""
        self.exchange()
        while (timer := self.client.get_timer()) is not None and timer <= end:
            assert timer >= self.now, "a timer in the past"
            self.now = timer
            self.client.handle_timer(self.now)
            self.exchange()
        self.now = max(self.now, end)

    def run_to_the_end(self) -> None:
        """Let time pass until no timer is left."""
        while (timer := self.client.get_timer()) is not None:
            self.run_until(timer)

    def allocate(self) -> None:
        """Start, and have an allocation."""
        self.client.start(self.now)
        self.exchange()

    def take(self) -> list[AllocationEvent]:
        """Return the events since the last call."""
        events, self.events = self.events, []
        return events

    def deliver(self, message: Message) -> bool:
        """Hand the machine a message of the server's that answers nothing."""
        taken = self.client.receive_datagram(encode(message), ADDRESS, self.now)
        self.exchange()
        return taken


def indication(*attributes: AttributeValue) -> Message:
    """Make a Data indication."""
    return Message(MessageClass.INDICATION, Method.DATA, b"abcdefghijkl", attributes)
