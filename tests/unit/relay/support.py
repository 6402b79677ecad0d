"""A relay without sockets: fake relayed sockets, fake clients, a clock that only moves when told."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from p2p.address import TransportAddress
from p2p.errors import ConnectivityError
from p2p.proto.stun.attributes import (
    ERROR_CODE,
    LIFETIME,
    MD5_ALGORITHM,
    NONCE,
    PASSWORD_ALGORITHM,
    PASSWORD_ALGORITHMS,
    REALM,
    REQUESTED_TRANSPORT,
    USERHASH,
    USERNAME,
    XOR_PEER_ADDRESS,
    XOR_RELAYED_ADDRESS,
    PasswordAlgorithm,
)
from p2p.proto.stun.integrity import IntegrityAlgorithm, long_term_key, user_hash, verify
from p2p.proto.stun.message import AttributeValue, Message, MessageClass, Method, decode_untrusted, encode
from relay.core.allocation import Allocation, Neighbourhood, Payload
from relay.core.authentication import OFFERED_ALGORITHMS
from relay.core.counters import RelayCounters
from relay.core.credentials import CredentialStore
from relay.core.five_tuple import ClientTransport, FiveTuple
from relay.core.guesses import GuessLimit
from relay.core.known_hosts import KnownHosts
from relay.core.nonces import NonceSource
from relay.core.policy import PeerPolicy
from relay.core.quotas import QuotaLimits
from relay.core.rates import RateLimits
from relay.core.relayed_ports import RelayedPorts, RelayHost
from relay.core.request import RefusedError
from relay.core.rules import Rules
from relay.core.server import TurnServer
from relay.core.strangers import StrangerLimit
from relay.core.table import EndReason

REALM_NAME = "example.org"
SECRET = "a shared secret"
USERS = {"alice": "wonderland", "bob": "builder"}
SERVER = TransportAddress("198.51.100.10", 3478)
RELAY_HOST = "198.51.100.20"
RELAY_HOST_V6 = "2001:db8::20"
PEER = TransportAddress("8.8.8.8", 5000)
PEER_V6 = TransportAddress("2620:fe::fe", 5000)
WALL_AT_START = 1_900_000_000.0


class Randomness:
    """Random bytes that are the same in every run."""

    def __init__(self, seed: int = 0) -> None:
        self._seed = str(seed).encode()
        self._count = 0

    def __call__(self, size: int) -> bytes:
        self._count += 1
        return hashlib.shake_128(self._seed + str(self._count).encode()).digest(size)


class FakeSocket:
    """A relayed socket that remembers what was sent."""

    def __init__(self, host: RelayHost, port: int) -> None:
        self.port = port
        self.relayed_address = TransportAddress(host.public_host, port)
        self.sent: list[tuple[TransportAddress, bytes]] = []
        self.whole: list[tuple[TransportAddress, bytes]] = []
        self.path_bytes = 1400
        self.connecting: list[tuple[TransportAddress, int]] = []
        self.allocation: Allocation | None = None
        self.is_closed = False

    def send(self, payloads: Sequence[Payload], peer: TransportAddress) -> None:
        assert not self.is_closed
        self.sent += [(peer, bytes(payload)) for payload in payloads]

    def send_whole(self, payload: Payload, peer: TransportAddress) -> int | None:
        if len(payload) > self.path_bytes:
            return self.path_bytes
        self.whole.append((peer, bytes(payload)))
        return None

    def connect(self, peer: TransportAddress, number: int) -> None:
        self.connecting.append((peer, number))

    def attach(self, allocation: Allocation) -> None:
        self.allocation = allocation

    def close(self) -> None:
        assert not self.is_closed
        self.is_closed = True


class FakeLeg:
    """The way back to a client that remembers what was sent."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.channel_data: list[tuple[int, bytes]] = []
        self.has_ended = False

    def send_message(self, data: bytes) -> None:
        self.messages.append(decode_untrusted(data))

    def send_channel_data(self, number: int, payloads: Sequence[Payload]) -> None:
        self.channel_data += [(number, bytes(payload)) for payload in payloads]

    def end(self) -> None:
        self.has_ended = True


class SilentObserver:
    """Remembers how allocations ended."""

    def __init__(self) -> None:
        self.ended: list[EndReason] = []
        self.refused: list[str] = []

    def allocation_created(self, allocation: Allocation) -> None:
        pass

    def allocation_ended(self, allocation: Allocation, reason: EndReason) -> None:
        self.ended.append(reason)

    def request_refused(self, five_tuple: FiveTuple, method: str, error: RefusedError) -> None:
        self.refused.append(error.detail)


class Relay:
    """A ``TurnServer`` with everything around it faked."""

    def __init__(
        self,
        *,
        quotas: QuotaLimits | None = None,
        ipv6: bool = False,
        first_port: int = 50_000,
        last_port: int = 50_099,
        strangers: StrangerLimit | None = None,
        guesses: GuessLimit | None = None,
        rates: RateLimits | None = None,
        known_peers_only: bool = False,
        tcp_to_peers: bool = True,
    ) -> None:
        self.now = 1000.0
        self.random_bytes = Randomness()
        self.sockets: dict[int, FakeSocket] = {}
        self.taken_ports: set[int] = set()
        self.counters = RelayCounters()
        self.observer = SilentObserver()
        self.known = KnownHosts()
        hosts = [RelayHost(bind_host="10.0.0.20", public_host=RELAY_HOST, first_port=first_port, last_port=last_port)]
        if ipv6:
            hosts.append(
                RelayHost(
                    bind_host=RELAY_HOST_V6, public_host=RELAY_HOST_V6, first_port=first_port, last_port=last_port
                )
            )
        self.nonces = NonceSource(b"k" * 32)
        self.neighbourhood = Neighbourhood(frozenset(host.public_host for host in hosts))
        self.policy = PeerPolicy(
            is_own=lambda address: str(address) == RELAY_HOST,
            knows=(lambda host: self.known.knows(host, self.now)) if known_peers_only else None,
        )
        self.rules = Rules(
            credentials=CredentialStore(REALM_NAME, static_users=USERS, shared_secrets=(SECRET,)),
            nonces=self.nonces,
            policy=self.policy,
            quotas=quotas or QuotaLimits(),
            rates=rates or RateLimits(),
            tcp_to_peers=tcp_to_peers,
        )
        self.server = TurnServer(
            realm=REALM_NAME,
            rules=self.rules,
            ports=RelayedPorts(hosts, open_socket=self._open, random_bytes=self.random_bytes, home_key=b"key"),
            neighbourhood=self.neighbourhood,
            clock=lambda: self.now,
            strangers=strangers or StrangerLimit(),
            guesses=guesses or GuessLimit(),
            known=self.known,
            counters=self.counters,
            observer=self.observer,
            random_bytes=self.random_bytes,
        )

    @property
    def now_wall(self) -> float:
        return WALL_AT_START + self.now - 1000.0

    def advance(self, seconds: float) -> None:
        """Let time pass, and the timer fire whenever it is due."""
        end = self.now + seconds
        while (at := self.server.get_timer()) is not None and at <= end:
            self.now = max(self.now, at)
            self.server.handle_timer(self.now)
        self.now = end

    def _open(self, host: RelayHost, port: int, is_tcp: bool = False) -> FakeSocket:
        if port in self.taken_ports:
            raise ConnectivityError("taken")
        socket = FakeSocket(host, port)
        self.sockets[port] = socket
        return socket


class Client:
    """A TURN client by hand: it says what the test wants it to say."""

    def __init__(
        self,
        relay: Relay,
        port: int = 4000,
        *,
        username: str = "alice",
        password: str | None = None,
        transport: ClientTransport = ClientTransport.UDP,
        host: str = "203.0.113.7",
        integrity: IntegrityAlgorithm = IntegrityAlgorithm.SHA1,
        algorithm: PasswordAlgorithm | None = None,
        is_hidden: bool = False,
    ) -> None:
        self.relay = relay
        self.five_tuple = FiveTuple(transport, TransportAddress(host, port), SERVER)
        self.leg = FakeLeg()
        self.username = username
        self.integrity = integrity
        self.algorithm = algorithm
        self.is_hidden = is_hidden
        self.password = password if password is not None else USERS[username]
        self.key = long_term_key(username, REALM_NAME, self.password, algorithm or MD5_ALGORITHM)
        self.nonce = relay.nonces.issue(self.five_tuple.client, relay.now_wall)

    def raw(self, data: bytes) -> Message | None:
        answer = self.relay.server.receive(data, self.five_tuple, self.leg, self.relay.now, self.relay.now_wall)
        return None if answer is None else decode_untrusted(answer)

    def request(self, method: Method, *attributes: AttributeValue, transaction_id: bytes | None = None) -> Message:
        """Send an authenticated request; check that the answer is authentic."""
        data = self.encoded(method, *attributes, transaction_id=transaction_id)
        answer = self.raw(data)
        assert answer is not None
        assert answer.transaction_id == decode_untrusted(data).transaction_id
        assert answer.method == method
        if answer.has_integrity:
            verify(answer, self.key, self.integrity)
        return answer

    def encoded(self, method: Method, *attributes: AttributeValue, transaction_id: bytes | None = None) -> bytes:
        name = USERHASH(user_hash(self.username, REALM_NAME)) if self.is_hidden else USERNAME(self.username)
        own: tuple[AttributeValue, ...] = (name, REALM(REALM_NAME), NONCE(self.nonce))
        if self.algorithm is not None:
            own += (PASSWORD_ALGORITHMS(OFFERED_ALGORITHMS), PASSWORD_ALGORITHM(self.algorithm))
        message = Message(
            MessageClass.REQUEST, method, transaction_id or self.relay.random_bytes(12), (*attributes, *own)
        )
        return encode(message, integrity_key=self.key, integrity=self.integrity)

    def plain(self, method: Method, *attributes: AttributeValue) -> Message | None:
        """Send a request without credentials."""
        return self.raw(encode(Message(MessageClass.REQUEST, method, self.relay.random_bytes(12), attributes)))

    def indicate(self, method: Method, *attributes: AttributeValue) -> None:
        indication = Message(MessageClass.INDICATION, method, self.relay.random_bytes(12), attributes)
        assert self.raw(encode(indication)) is None

    def allocate(self, *attributes: AttributeValue) -> TransportAddress:
        """Make an allocation and return its relayed address."""
        answer = self.request(Method.ALLOCATE, REQUESTED_TRANSPORT(17), *attributes)
        assert answer.message_class is MessageClass.SUCCESS, answer
        relayed = answer.get(XOR_RELAYED_ADDRESS)
        assert relayed is not None
        return relayed

    def permit(self, peer: TransportAddress = PEER) -> Message:
        return self.request(Method.CREATE_PERMISSION, XOR_PEER_ADDRESS(peer))

    def refresh(self, *attributes: AttributeValue) -> Message:
        return self.request(Method.REFRESH, *attributes)

    def release(self) -> Message:
        return self.refresh(LIFETIME(0))

    @property
    def allocation(self) -> Allocation:
        found = self.relay.server.table.find(self.five_tuple)
        assert found is not None
        return found

    @property
    def socket(self) -> Any:
        """The fake socket of the relayed address."""
        return next(iter(self.allocation.sockets.values()))


def error_of(message: Message | None) -> int:
    """The number of an error response; 0 for a success."""
    assert message is not None
    error = message.get(ERROR_CODE)
    return error.code if error is not None else 0
