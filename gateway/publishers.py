"""The side of the gateway that publishers see: what they ask for, and the flows to them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import socket
from collections.abc import Awaitable, Callable
from typing import Final

from gateway.core.balance import Instance
from gateway.core.registry import RefusedError, Registry, Service
from gateway.patience import Patience
from gateway.redemptions import Redemptions
from gateway.telling import Teller
from p2p.aio.tasks import TaskScope
from p2p.errors import ConfigError, DecodeError
from p2p.forward.connect import connect_protocol, forward_socket
from p2p.forward.datagram_flow import DatagramFlow
from p2p.forward.sockets import Addresses
from p2p.forward.target import DialDone, FlowAcceptor
from p2p.forward.udp_listener import UdpListenerForward
from p2p.forward.udp_port import DatagramsDone
from p2p.proto.login import Redeemed
from p2p.proto.publication import (
    LINE_MAX_BYTES,
    PUBLICATION_SERVICE,
    Drain,
    Drained,
    Keys,
    KeysWanted,
    Publish,
    Published,
    Refused,
    Visited,
    decode_publisher_line_untrusted,
)
from p2p.proto.tunnel.codes import StreamCode
from p2p.proto.tunnel.header import FlowKind, StreamHeader
from p2p.session.peer_session import PeerSession

logger = logging.getLogger(__name__)

_ASK_WITHIN_S: Final = 10.0
"""How long a publisher may take to say what it wants."""
KEYS_ASKED_EVERY_S: Final = 10.0
"""How often at most an instance is asked for new keys: every stranger's token can name a key that nobody has."""


class Publisher(Instance):
    """An instance that is reached through the session of the program that published it.

    Args:
        session: The session.
        request: What was asked for.
        now: The monotonic time.
        teller: Tells the program what happens.
    """

    def __init__(self, session: PeerSession, request: Publish, now: float, teller: Teller) -> None:
        # The key outlives a restart of the publisher, so its visitors come back to it.
        super().__init__(f"{session.peer}/{request.service}", request.weight, now)
        self.wants_address = request.wants_address
        self.speaks_h2 = request.speaks_h2
        self.strips_path = bool(request.path) and request.strips_path
        self.header_rules = request.headers
        self.health = request.health
        self.session = session
        self.service = request.service
        self._teller = teller
        self._asked_for_keys_at = -math.inf
        self._asked_at = -math.inf
        self.patience = Patience()
        self.redemptions = Redemptions(teller.tell)

    @property
    def rtt_s(self) -> float | None:
        """See ``Instance``."""
        return self.session.rtt_s

    @property
    def connections(self) -> int:
        """Flows that are open to it: connections of visitors, and idle ones that wait for requests."""
        return sum(flow.service == self.service for flow in self.session.multiplexer.flow_snapshots())

    def asked(self, now: float) -> None:
        """It was sent something: a sign of life is to come."""
        if self._asked_at <= self.session.heard_at:
            self._asked_at = now

    def silent_s(self, now: float) -> float:
        """For how long it owes a sign of life; 0 when it owes none."""
        return now - self._asked_at if self._asked_at > self.session.heard_at else 0.0

    def forward(self, sock: socket.socket, addresses: Addresses) -> None:
        """Hand a visitor's connection over.

        Args:
            sock: It belongs to the session from here on.
            addresses: The visitor's, and the one it came to.

        Raises:
            ForwardError: The session takes no more connections; the socket still belongs to the caller.
        """
        forward_socket(self.session.multiplexer, sock, self.service, addresses=addresses)

    def connect(self, protocol: asyncio.Protocol, addresses: Addresses) -> None:
        """Connect a protocol to the service.

        Args:
            protocol: It loses its connection by a reset when the service cannot be reached.
            addresses: Whose connection it is.

        Raises:
            ForwardError: The session takes no more connections.
        """
        connect_protocol(self.session.multiplexer, protocol, self.service, addresses=addresses)

    def attach(self, listener: UdpListenerForward) -> None:
        """Give a listener's datagrams to this program from now on."""
        listener.service = self.service
        listener.attach(self.session.multiplexer)

    def ask_for_keys(self, now: float) -> None:
        """Ask for the keys of its issuers, though not again and again for the nonsense of strangers."""
        if now - self._asked_for_keys_at >= KEYS_ASKED_EVERY_S:
            self._asked_for_keys_at = now
            self._teller.tell(KeysWanted())

    def tell_drained(self) -> None:
        """Tell the publisher that it may end."""
        self._teller.tell(Drained())

    def tell_visit(self, visit: Visited) -> None:
        """Tell the publisher's user of a visit that has ended."""
        self._teller.tell_visit(visit)


def ask_for_missed_keys(service: Service[Publisher], now: float) -> None:
    """Ask for new keys of issuers if a visitor's token was signed by one that is not known."""
    if service.policy.misses_key:
        service.policy.misses_key = False
        for publisher in service.instances:
            publisher.ask_for_keys(now)


class PublisherDesk:
    """Takes the flows on which programs ask to be published, and keeps what they publish while the flow is open.

    Args:
        registry: What is published.
        scope: Where the conversations run.
        published: Called with each service that got an instance, and that one; raises ``RefusedError`` to refuse it.
        withdrawn: Called with each service that lost one, and with that.
        drains: Called with each service and an instance of it that wants no more visitors.
        urls_of: Tells how the public reaches a service.
    """

    def __init__(
        self,
        registry: Registry[Publisher],
        scope: TaskScope,
        *,
        published: Callable[[Service[Publisher], Publisher], Awaitable[None]],
        withdrawn: Callable[[Service[Publisher], Publisher], None],
        drains: Callable[[Service[Publisher], Publisher], None],
        urls_of: Callable[[Service[Publisher]], tuple[str, ...]],
    ) -> None:
        self._registry = registry
        self._scope = scope
        self._published = published
        self._withdrawn = withdrawn
        self._drains = drains
        self._urls_of = urls_of

    def acceptor(self, session: PeerSession) -> FlowAcceptor:
        """Make the acceptor of a session's flows."""
        return _Acceptor(self, session)

    def start(self, session: PeerSession) -> socket.socket | None:
        """Begin a conversation.

        Returns:
            The other end of it; None when the gateway is closing.
        """
        if not self._scope.is_open:
            return None
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        self._scope.start(self._converse(session, ours), name="publisher", closing=(ours,))
        return theirs

    async def _converse(self, session: PeerSession, sock: socket.socket) -> None:
        sock.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=sock, limit=LINE_MAX_BYTES)
        try:
            await self._serve(session, reader, writer)
        except (ConnectionError, DecodeError, ValueError, TimeoutError) as error:
            logger.info("publisher %s: %s", session.peer.short, error)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _serve(self, session: PeerSession, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(_ASK_WITHIN_S):
            request = decode_publisher_line_untrusted(await reader.readline())
        if not isinstance(request, Publish):
            raise DecodeError("the first message of a publisher says what it publishes")
        teller = Teller(writer)
        publisher = Publisher(session, request, asyncio.get_running_loop().time(), teller)
        try:
            service = self._registry.publish(session.peer, request, publisher)
        except RefusedError as refusal:
            teller.tell(Refused(reason=refusal.detail, is_final=refusal.is_final))
            return
        try:
            await self._published(service, publisher)
            teller.tell(Published(urls=self._urls_of(service), instances=len(service.instances)))
            logger.info("%s published by %s", service.title, session.peer)
            # Until the end of the flow, or of the session.
            while line := await reader.readline():
                self._take(line, service, publisher)
        except RefusedError as refusal:
            teller.tell(Refused(reason=refusal.detail, is_final=refusal.is_final))
        finally:
            self._registry.withdraw(service, publisher)
            logger.info("%s withdrawn by %s", service.title, session.peer)
            self._withdrawn(service, publisher)

    def _take(self, line: bytes, service: Service[Publisher], publisher: Publisher) -> None:
        """Take what a publisher says later.

        Raises:
            DecodeError: It is not for saying later, or no message.
        """
        match decode_publisher_line_untrusted(line):
            case Keys() as keys:
                try:
                    service.set_keys(publisher, keys.jwt)
                except ConfigError as error:
                    raise DecodeError(error.detail) from error
            case Redeemed() as redeemed:
                publisher.redemptions.answered(redeemed)
            case Drain():
                self._drains(service, publisher)
            case _:
                raise DecodeError("a publisher publishes once on each flow")


class _Acceptor:
    def __init__(self, desk: PublisherDesk, session: PeerSession) -> None:
        self._desk = desk
        self._session = session

    def dial(self, header: StreamHeader, done: DialDone) -> Callable[[], None]:
        """See ``FlowAcceptor``."""
        if header.kind != FlowKind.STREAM or header.service != PUBLICATION_SERVICE:
            done(StreamCode.SERVICE_UNKNOWN)
        else:
            done(self._desk.start(self._session) or StreamCode.FORWARD_REFUSED)
        return lambda: None

    def dial_datagrams(self, header: StreamHeader, flow: DatagramFlow, done: DatagramsDone) -> Callable[[], None]:
        """See ``FlowAcceptor``."""
        done(StreamCode.SERVICE_UNKNOWN)
        return lambda: None
