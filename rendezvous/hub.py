"""What all connections of a server share: configuration, presence, admission, and the list of themselves."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from p2p.address import TransportAddress
from p2p.aio.tasks import TaskScope
from p2p.defaults import RENDEZVOUS_ADDRESS_TABLE
from p2p.identity import PeerId
from p2p.proto.signalling.codes import SignallingCode
from p2p.proto.signalling.messages import Draining, ServerMessage, TurnServer
from rendezvous.config import RendezvousConfig
from rendezvous.core.admission import Admission, Scope
from rendezvous.core.credentials import RealmNonce, mint_turn_servers
from rendezvous.core.held import HeldAnswers
from rendezvous.core.knocks import Knocks
from rendezvous.core.limits import AddressBuckets
from rendezvous.core.login import EarlyLogins
from rendezvous.core.refusal import Refusal
from rendezvous.core.registry import Member, Registry
from rendezvous.core.relays import RelayBook
from rendezvous.metrics import Metrics


class HubMember(Member, Protocol):
    """A connection, as the hub sees it."""

    scope: Scope | None
    """What its login may do; None before the login."""

    async def send(self, message: ServerMessage) -> bool:
        """Send a message; False when the connection is gone or was too slow."""
        ...


@dataclass(slots=True, kw_only=True)
class Hub:
    """The shared state of one server. One event loop.

    Attributes:
        config: As read at start or at the last reload.
        registry: Who is online.
        metrics: What is counted.
        tasks: Where short tasks of connections live.
        challenge_of: Tells a relay's realm and nonce by its URL, where this process knows them.
        note_host: Told where each client is that gets relays, when it gets them.
        stun_servers: Told to clients.
        is_draining: No new connections are taken.
        admission: The tokens that admit now.
        early_logins: Takes logins that come with the upgrade.
        knocks: The bells of connections, and knocks at them.
        held: Answers to knocks.
        relays: What relays report of themselves.
        connections: All that are open.
        loop: The event loop.
        random_bytes: Source of nonces.
        now_wall: The Unix clock.
    """

    config: RendezvousConfig
    registry: Registry
    metrics: Metrics
    tasks: TaskScope
    challenge_of: Callable[[str], RealmNonce | None] | None = None
    note_host: Callable[[str], None] | None = None
    stun_servers: tuple[TransportAddress, ...] = ()
    is_draining: bool = False
    admission: Admission = field(init=False)
    early_logins: EarlyLogins = field(init=False)
    knocks: Knocks = field(init=False)
    held: HeldAnswers = field(default_factory=HeldAnswers)
    relays: RelayBook = field(default_factory=RelayBook)
    connections: set[HubMember] = field(default_factory=set)
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    random_bytes: Callable[[int], bytes] = os.urandom
    now_wall: Callable[[], float] = time.time
    idle: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.admission = Admission(self.config.tokens, is_open=self.config.is_open)
        self.early_logins = EarlyLogins(self.now_wall())
        limits = self.config.limits
        self.knocks = Knocks(
            self.now_wall(),
            AddressBuckets(
                rate_per_s=limits.connects_per_s, burst=limits.connect_burst, table_size=RENDEZVOUS_ADDRESS_TABLE
            ),
            rate_per_s=limits.messages_per_s,
            burst=limits.message_burst,
        )
        self.idle.set()

    def add(self, connection: HubMember) -> None:
        """Note a connection that has begun."""
        self.connections.add(connection)
        self.metrics.connections.set(len(self.connections))
        self.idle.clear()

    def discard(self, connection: HubMember) -> None:
        """Forget a connection that has ended."""
        self.connections.discard(connection)
        self.metrics.connections.set(len(self.connections))
        if not self.connections:
            self.idle.set()

    @property
    def expects_relays(self) -> bool:
        """Whether there are relays, or may be: then a client that is told of none asks again."""
        return bool(self.config.relay_secret)

    def turn_servers(self, peer_id: PeerId, scope: Scope, host: str) -> tuple[TurnServer, ...]:
        """Relays and fresh credentials, as far as a login's scope goes.

        Args:
            peer_id: Whose login it is.
            scope: What it may do.
            host: Where the client is.
        """
        if self.note_host is not None:
            self.note_host(host)
        if not scope.relay:
            return ()
        return mint_turn_servers(
            self.relays.offered(self.config.relay_urls, self.loop.time(), region=self.config.region),
            self.config.relay_secret,
            peer_id,
            now_wall=self.now_wall(),
            lifetime_s=self.config.relay_credential_lifetime_s,
            challenge_of=self.challenge_of,
        )

    def reload(self, config: RendezvousConfig) -> None:
        """Take a new configuration; connections that its tokens no longer admit are dismissed.

        Args:
            config: Listening addresses and the STUN service stay as they were: they need a restart.
        """
        self.config = config
        self.admission = Admission(config.tokens, is_open=config.is_open)
        for connection in tuple(self.connections):
            if connection.scope is None:
                continue
            try:
                connection.scope = self.admission.recheck(connection.scope, now_wall=self.now_wall())
            except Refusal as refusal:
                connection.dismiss(refusal.wire_code, refusal.detail)

    async def announce_drain(self, within_s: float) -> None:
        """Tell all clients that the server goes down, and admit no more.

        Args:
            within_s: Clients that move wait a random part of this.
        """
        self.is_draining = True
        members = list(self.connections)
        # In random order: with thousands of clients, nobody's turn is always the last.
        random.shuffle(members)
        for connection in members:
            await connection.send(Draining(within_s=within_s))

    def dismiss_all(self, code: SignallingCode, detail: str) -> None:
        """Close every connection, with a reason."""
        for connection in tuple(self.connections):
            connection.dismiss(code, detail)
