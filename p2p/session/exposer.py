"""The exposing side: publishes a service, answers offers, lets in whom the ticket and the list allow."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import Self

from p2p.address import TransportAddress
from p2p.defaults import (
    LAN_READY_S,
    LOGIN_WATCH_S,
    READY_WITHOUT_RELAY_S,
    SESSION_OPENING_TIMEOUT_S,
)
from p2p.errors import ConfigError, DecodeError, IntegrityError, P2PError
from p2p.forward.target import FlowAcceptor
from p2p.identity import Identity, PeerId
from p2p.proto.ice import Credentials
from p2p.proto.signalling.bodies import Answer, Farewell, Offer, PeerBody, Refusal, Trickle
from p2p.proto.signalling.messages import KnockDelivery
from p2p.proto.tunnel.codes import GoodbyeCode, RefusalCode
from p2p.proto.tunnel.control import Role
from p2p.proto.tunnel.frames import AuthRequest
from p2p.quic.engine import EngineConfig, ServerCredentials
from p2p.session.access import AccessRefusedError, ServiceAccess, service_of
from p2p.session.admission import OfferAdmission
from p2p.session.candidates import shown, write_lines
from p2p.session.describe import nat_facts, path_fields, short_id
from p2p.session.events import Event, Inspecting, Listening, Ready, Report, SessionOpened
from p2p.session.first_path import check_knock
from p2p.session.knocking import read_knock
from p2p.session.lan import announce, direct_signalling, ticket_addresses
from p2p.session.meeting import CODE_NO_RENDEZVOUS
from p2p.session.node import Node
from p2p.session.offered import introduction
from p2p.session.options import ExposeOptions, PeerOptions, RelayPolicy
from p2p.session.peer_session import PeerSession
from p2p.session.program import Program
from p2p.session.publications import Publications
from p2p.session.services import OfferedServices
from p2p.session.status import Status
from p2p.signalling.client import SignallingClient, SignallingState

logger = logging.getLogger(__name__)


class Exposer(Program):
    """Puts services on offer for as long as it runs.

    Args:
        options: What, and to whom.
        peer: Who we are and where we meet.
        on_event: Told what happens.

    Raises:
        ConfigError: There is no rendezvous to meet at, and no network that may know our addresses.
    """

    role = "expose"

    def __init__(self, options: ExposeOptions, peer: PeerOptions, *, on_event: Callable[[Event], None]) -> None:
        super().__init__(peer, on_event)
        if not peer.rendezvous_urls and (not options.lan or peer.relay_policy is RelayPolicy.ONLY):
            raise ConfigError("no rendezvous to publish the service at", code=CODE_NO_RENDEZVOUS)
        self.options = options
        self._service = ""
        self._access: ServiceAccess | None = None
        self._admission = OfferAdmission()
        self._ticket_text = ""
        self._done = asyncio.Event()
        self._public: Publications | None = None
        self._publishing: asyncio.Task[P2PError | None] | None = None

    def make_node(self) -> Node:
        """See ``Program``."""
        identity = Identity.load_or_create(self.peer_options.identity_path)
        self._service = service_of(self.options, identity)
        self._access = ServiceAccess.from_options(self.options, identity, now_wall=time.time())
        self._ticket = self._access.ticket(identity.peer_id, self.peer_options.rendezvous_urls)
        return Node(
            self.peer_options,
            identity,
            self.peer_options.rendezvous_urls,
            instance=self._service,
            wants_relay=self.peer_options.relay_policy is not RelayPolicy.NEVER,
            on_signal=self.signal_received,
            direct=direct_signalling(
                self._ticket, identity, self.peer_options.relay_policy, instance=self._service, is_dialer=False
            ),
        )

    async def __aenter__(self) -> Self:
        self._services = OfferedServices(self.options, asyncio.get_running_loop())
        await self._services.__aenter__()
        try:
            await super().__aenter__()
        except BaseException:
            await self._services.__aexit__(None, None, None)
            raise
        if (url := self._services.inspector_url) is not None:
            self.tell(Inspecting(t_s=self.t_s, url=url))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await super().__aexit__(kind, error, traceback)
        finally:
            await self._services.__aexit__(None, None, None)

    @property
    def ticket(self) -> str:
        """The text that opens the service; empty before it works."""
        return self._ticket_text

    @property
    def status(self) -> Status:
        """The present state."""
        return replace(
            self.base_status(),
            service=self._service,
            name=self.options.name or self.options.target,
            ticket=self._ticket_text,
            target=self.options.target,
            public=() if self._public is None else self._public.urls,
        )

    async def run_until(self, stop: asyncio.Event) -> Report:
        """Publish, then serve until ``stop`` is set or the offer is over.

        Returns:
            What happened.

        Raises:
            P2PError: The rendezvous refused us or cannot be reached.
        """
        return await self.run_beside(stop, self._serve())

    async def drain(self) -> None:
        """See ``Program``; visitors of a gateway are sent to other instances, and those that are here are served."""
        public = [] if self._public is None else [self._public.drain()]
        await asyncio.gather(super().drain(), *public)

    async def _serve(self) -> None:
        if self.options.lan:
            self._scope.start(announce(self.node, self._ticket, self.tell_problem), name="announcement")
        await self._be_found()
        self._ticket_text = replace(self._ticket, direct_addresses=self._direct_addresses()).encode()
        self.tell(
            Ready(
                t_s=self.t_s,
                ticket=self._ticket_text,
                name=self.options.name or self.options.target,
                service=self._service,
                peer_id=str(self.node.identity.peer_id),
                rendezvous=next(iter(self.peer_options.rendezvous_urls), ""),
                services={name: str(target) for name, target in self.options.targets.items()},
                nat=nat_facts(self.node),
            )
        )
        for service, address in () if self._services.reverse is None else self._services.reverse.addresses.items():
            self.tell(Listening(t_s=self.t_s, address=address, service=service))
        if self.node.relay is None and self.node.last_relay_error is not None:
            self.tell_problem(self.node.last_relay_error)
        if self.options.public is not None:
            self._public = Publications(
                self.options,
                self.options.public,
                self.peer_options,
                services=self._services,
                on_event=self.tell,
                on_problem=self.tell_problem,
            )
            self._publishing = self._scope.start(self._public.run(), name="publisher")
            self._publishing.add_done_callback(lambda _: self._done.set())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.options.expires_s):
                await self._end_of_offer()

    async def _be_found(self) -> None:
        """Make the ticket work: publish the service where there is a rendezvous, and be reached over a relay."""
        client = self.node.signalling.rendezvous
        if client is None:
            return
        try:
            async with asyncio.timeout(LAN_READY_S if self.options.lan else None):
                await self.reach_rendezvous()
                await self._publish_at(client)
        except TimeoutError:
            # Announced on this network; the rest follows as soon as the rendezvous is there.
            self._scope.start(self._be_found_late(client), name="publish")
            return
        if self.peer_options.relay_policy is not RelayPolicy.NEVER:
            # A ticket that works at once: the relayed address is what the first packet of a dialer needs.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(READY_WITHOUT_RELAY_S):
                    await self.node.relay_gained.wait()

    async def _be_found_late(self, client: SignallingClient) -> None:
        try:
            await client.welcome()
            await self._publish_at(client)
        except P2PError as error:
            self.tell_problem(error)

    async def _publish_at(self, client: SignallingClient) -> None:
        assert self._access is not None
        client.on_knock = self._knocked
        await client.publish(self._service, bell=self._access.bell_key(self.node.identity.peer_id))

    def _direct_addresses(self) -> tuple[TransportAddress, ...]:
        """Where a dialer may call us; nowhere when it must not learn our addresses."""
        return ticket_addresses(
            shown(self.node.candidates, self.peer_options.relay_policy), self.node.mapped_ports.addresses
        )

    async def _end_of_offer(self) -> None:
        """Wait for the end of the only session, or for the end of our login.

        Raises:
            SignallingError: Another login took over.
            P2PError: The gateway does not publish the service.
        """
        while not self._done.is_set():
            client = self.node.signalling.rendezvous
            if client is not None and client.state is SignallingState.FAILED:
                assert client.last_error is not None
                raise client.last_error
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOGIN_WATCH_S):
                    await self._done.wait()
        if self._publishing is not None and self._publishing.done() and (error := self._publishing.result()):
            raise error

    # --- offers --------------------------------------------------------------------------------------------

    def other_signal(self, peer: PeerId, instance: str, body: PeerBody, session: PeerSession | None) -> None:
        """Take an offer; whatever else is about a session that is not known here is answered with a farewell."""
        if isinstance(body, Offer):
            if session is None:
                self._take_offer(peer, instance, body)
            elif self._admission.may_reply(self.t_s):
                # The same offer on the other way, which a rendezvous has added to: whichever answer is first is taken.
                session.permit_seen(body.seen_at)
                self.send_signal(session, self._answer(session))
        elif isinstance(body, Trickle):
            self._reply(peer, instance, Farewell(session=body.session, text="no such session"))

    def _knocked(self, peer: PeerId, data: bytes, knock: KnockDelivery) -> None:
        """Take an offer that came ahead of its dialer's login; it may come again by the usual way, and before this."""
        offer = read_knock(peer, data)
        if offer is None or not self._scope.is_open:
            return
        session = self.sessions.get(offer.session)
        if session is None:
            self._take_offer(peer, offer.instance, offer, knock)
        elif session.peer == peer:
            session.knock = knock.nonce
            self._scope.start(check_knock(session, knock.source, self.sessions), name="check of a knock")

    def _take_offer(self, peer: PeerId, instance: str, offer: Offer, knock: KnockDelivery | None = None) -> None:
        assert self._access is not None
        try:
            if self.draining:
                raise AccessRefusedError(RefusalCode.DRAINING, "the exposing side is shutting down")
            self._access.check(
                offer.proof,
                service=offer.service,
                binding=bytes.fromhex(offer.session),
                dialer=peer,
                exposer=self.node.identity.peer_id,
                now_wall=time.time(),
            )
            self._admission.check(offer.session, peer, self.sessions.values(), now=self.t_s)
            Credentials.from_wire_untrusted(offer.ice)
        except AccessRefusedError as refused:
            logger.info("offer of %s refused: %s", peer.short, refused)
            refusal = Refusal(session=offer.session, code=int(refused.refusal), text=refused.detail)
            self._reply(peer, instance, refusal, None if knock is None else knock.nonce)
            return
        except (DecodeError, IntegrityError) as error:
            logger.info("offer of %s dropped: %s", peer.short, error)
            return
        session = self._make_session(peer, instance, offer)
        if knock is not None:
            session.knock = knock.nonce
        session.start(offer.flight)
        self.send_signal(session, self._answer(session))
        assert self._loop is not None
        # Behind the answer, which the dialer waits for.
        self._loop.call_soon(self._begin_checks, session, offer, knock)
        self._scope.start(self._expect(session), name="opening of a session")

    def _begin_checks(self, session: PeerSession, offer: Offer, knock: KnockDelivery | None) -> None:
        if session.session_id in self.sessions:
            session.permit_seen(offer.seen_at if knock is None else knock.source.host)
            session.announced()
            session.set_remote(offer)
            if knock is not None and self._scope.is_open:
                self._scope.start(check_knock(session, knock.source, self.sessions), name="check of a knock")

    def _make_session(self, peer: PeerId, instance: str, offer: Offer) -> PeerSession:
        identity = self.node.identity
        engine_connection = self.node.engine.server(
            EngineConfig(),
            ServerCredentials(identity.certificate_pem, identity.private_key_pem),
            offer.initial_dcid,
        )
        session = PeerSession(
            self.node,
            offer.session,
            peer,
            instance,
            Role.EXPOSER,
            engine_connection,
            self,
            pool=self.pool,
        )
        session.multiplexer.acceptor = self.make_acceptor(session)
        self._services.limit(session.multiplexer)
        self.add_session(session)
        return session

    def make_acceptor(self, session: PeerSession) -> FlowAcceptor:
        """Make what connects the flows that the dialer of a session opens."""
        return self._services.acceptor(session, self.node)

    def _answer(self, session: PeerSession) -> Answer:
        return Answer(
            session=session.session_id,
            ice=session.credentials.to_wire(),
            candidates=write_lines(session.local_candidates()),
            end=self.node.is_gathered,
            nat=self.node.facts.to_wire(),
            flight=session.flight,
        )

    def _reply(self, peer: PeerId, instance: str, body: PeerBody, knock: bytes | None = None) -> None:
        """Answer somebody who has no session; the rendezvous would disconnect us for answering them all."""
        if self._admission.may_reply(self.t_s):
            self._scope.start(self._send(peer, instance, body, knock), name="signal")

    async def _expect(self, session: PeerSession) -> None:
        """Forget a dialer that asked for a session and never came."""
        await asyncio.sleep(SESSION_OPENING_TIMEOUT_S)
        if not session.is_established and session.session_id in self.sessions:
            session.close(GoodbyeCode.UNSPECIFIED, "the session was not opened in time")

    # --- SessionOwner --------------------------------------------------------------------------------------

    def auth_requested(self, session: PeerSession, request: AuthRequest) -> None:
        """Let the dialer in, or say why not."""
        assert self._access is not None
        try:
            self._access.check_login(
                request,
                binding=session.connection.channel_binding(),
                asked=session.peer,
                exposer=self.node.identity.peer_id,
                now_wall=time.time(),
            )
        except AccessRefusedError as refused:
            session.multiplexer.refuse(refused.refusal, refused.detail)
        else:
            if self._access.sessions_left is not None:
                self._access.sessions_left -= 1
            hello = introduction(self.options.targets, self.options.reverse, built_in=self._services.built_in_names)
            session.multiplexer.accept(hello)

    def established(self, session: PeerSession) -> None:
        """Tell that a peer is in."""
        self.tell(
            SessionOpened(t_s=self.t_s, session=short_id(session), peer=str(session.peer), **path_fields(session))
        )
        self.tell_path_so_far(session)
        if self._services.reverse is not None:
            self._services.reverse.session_opened(session.multiplexer, self._scope)

    def closed(self, session: PeerSession, error: P2PError) -> None:
        """See ``SessionOwner``; an offer for one session ends with it."""
        super().closed(session, error)
        if self._services.reverse is not None:
            self._services.reverse.session_closed(session.multiplexer)
        if self.options.once and session.is_established:
            self._done.set()
