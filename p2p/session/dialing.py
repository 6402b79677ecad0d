"""Opening a session from the dialing side: offer, answer, the first path, proof of who we are."""

from __future__ import annotations

import asyncio
import logging
import os
import time

import msgspec

from p2p.aio.tasks import deadline
from p2p.defaults import (
    DIAL_STALE_S,
    KNOCK_ANSWER_S,
    RELAY_UNLESS_MAPPED_MAX_S,
    RELAY_UNLESS_MAPPED_MIN_S,
    RELAY_UNLESS_OPEN_S,
)
from p2p.errors import AllPathsFailedError, DeadlineExceededError, LocalProtocolError, P2PError, SignallingError
from p2p.identity import Ticket, proof
from p2p.proto.ice import CandidateType
from p2p.proto.signalling.bodies import Answer, Offer, PeerBody, Refusal, encode
from p2p.proto.tunnel.codes import refusal_error
from p2p.proto.tunnel.frames import AuthRequest, Hello
from p2p.proto.tunnel.ticket_proof import make_ticket_proof
from p2p.session.candidates import write_lines
from p2p.session.knocking import Knocking, make_knock
from p2p.session.node import Node
from p2p.session.options import RelayPolicy
from p2p.session.peer_session import PeerSession

logger = logging.getLogger(__name__)


def new_session_id() -> str:
    """Choose the id of a session: 32 hexadecimal digits that nobody guesses."""
    return os.urandom(16).hex()


class Dial:
    """One attempt to open a session.

    Concurrency: ``run`` is awaited once; the other methods are called from the event loop meanwhile.

    Args:
        node: What the session lives on.
        ticket: What to open.
        session: Made for this attempt, with the role of a dialer.
        hello: How to introduce ourselves in the tunnel; None offers nothing.
    """

    def __init__(self, node: Node, ticket: Ticket, session: PeerSession, hello: Hello | None = None) -> None:
        self._node = node
        self._ticket = ticket
        self.session = session
        self._hello = hello
        loop = asyncio.get_running_loop()
        self._answered: asyncio.Future[Answer] = loop.create_future()
        self._opened: asyncio.Future[None] = loop.create_future()
        self._loop = loop
        self._began_at = loop.time()
        session.start()
        self._knocking: Knocking | None = None

    @property
    def is_stale(self) -> bool:
        """Whether reaching the rendezvous took so long that a new attempt is better."""
        return self._loop.time() > self._began_at + DIAL_STALE_S

    def knock(self) -> None:
        """Send the offer ahead, while there is no connection to the rendezvous yet.

        A knock shows the exposer our address, so who wants to be known by a relay's does not knock.
        """
        node = self._node
        is_early = node.signalling.rendezvous is not None and not node.signalling.connected
        if not is_early or node.options.relay_policy is RelayPolicy.ONLY:
            return
        offer = msgspec.structs.replace(self._offer(), instance=node.instance)
        try:
            pieces = make_knock(node.identity, self._ticket, offer, now_wall=time.time())
        except LocalProtocolError as error:
            logger.info("no knock: %s", error)
            return
        self._knocking = node.knock(pieces)

    async def run(self, timeout_s: float) -> None:
        """Open the session.

        Args:
            timeout_s: How long it may take.

        Raises:
            P2PError: Refused, offline, no path, or no time.
        """
        try:
            async with deadline(timeout_s, "opening the session"):
                await self._node.signalling.ask(
                    self._ticket.peer_id,
                    lambda: encode(self._offer()),
                    instance=self._ticket.service,
                    is_needed=self._is_offer_needed,
                )
                answer = await self._answered
                self.session.set_remote(answer)
                self.session.announced()
                self.session.receive_flight(answer.flight)
                self.session.start_over_relay()
                if not self._reaches_relay():
                    self._node.want_relay()
                await self._opened
        except DeadlineExceededError as error:
            if not self._answered.done():
                if (silent := self._node.signalling.why_silent()) is None:
                    raise
                # That time is up says less than why nothing came.
                raise silent from silent.__cause__
            report = [str(line) for line in self.session.controller.report()]
            raise AllPathsFailedError("the peer answered, but no path to it works", report=report) from error

    async def _is_offer_needed(self) -> bool:
        """Tell whether a rendezvous that has let us in must pass the offer on: no knock was, or nothing came of it."""
        if self._knocking is not None and self._knocking.is_taken:
            await asyncio.wait((self._answered,), timeout=KNOCK_ANSWER_S)
        if self._answered.done():
            return False
        # News go by tasks, which begin after the offer is written.
        self.session.announced()
        return True

    def _reaches_relay(self) -> bool:
        """Whether one of the exposer's relayed addresses, if it has any, is of an address family that we have too."""
        candidates = self.session.controller.agent.remote_candidates
        relayed = [remote.address for remote in candidates if remote.type is CandidateType.RELAYED]
        families = {base.local_address.is_ipv6 for base in self._node.endpoint.sockets}
        return not relayed or any(address.is_ipv6 in families for address in relayed)

    def signal_received(self, body: PeerBody) -> None:
        """Take what the exposer says about this session."""
        match body:
            case Answer() if not self._answered.done():
                self._answered.set_result(body)
            case Refusal(code=code, text=text):
                self.failed(refusal_error(code, text))

    def handshake_completed(self) -> None:
        """Prove who we are and that we hold the ticket, bound to this TLS session."""
        binding = self.session.connection.channel_binding()
        identity = self._node.identity
        ticket = self._ticket
        self.session.multiplexer.authenticate(
            AuthRequest(
                proof=proof.make(identity, binding, ticket.peer_id),
                service=ticket.service,
                ticket_proof=self._ticket_proof(binding),
            ),
            self._hello,
        )

    def established(self) -> None:
        """The exposer lets us in."""
        if not self._opened.done():
            self._opened.set_result(None)

    def failed(self, error: P2PError) -> None:
        """The attempt is over."""
        for future in (self._answered, self._opened):
            if not future.done():
                future.set_exception(error)
                # Whoever waits for the other one learns it; this one may have nobody.
                future.exception()

    def _offer(self) -> Offer:
        session = self.session
        return Offer(
            session=session.session_id,
            service=self._ticket.service,
            proof=self._ticket_proof(bytes.fromhex(session.session_id)),
            ice=session.credentials.to_wire(),
            initial_dcid=session.connection.initial_destination_cid,
            candidates=write_lines(session.local_candidates()),
            end=self._node.is_gathered,
            nat=self._node.facts.to_wire(),
            seen_at=self._node.seen_at,
            flight=session.flight,
        )

    def _ticket_proof(self, binding: bytes) -> bytes:
        return make_ticket_proof(
            secret=self._ticket.secret,
            binding=binding,
            dialer_id=self._node.identity.peer_id.public_key,
            exposer_id=self._ticket.peer_id.public_key,
            service=self._ticket.service,
        )

    async def get_relay_if_needed(self) -> None:
        """Take an address on a relay of our own when UDP does not pass, or when the exposer's is not enough.

        Relays come from a rendezvous: before it has let us in there is nothing to wait for.
        """
        client = self._node.signalling.rendezvous
        if client is None:
            return
        try:
            await client.welcome()
        except SignallingError:
            return
        if self._knocking is None or self._knocking.server not in self._node.stun_servers:
            # Else it has had at least as long, and one that has not answered hardly will.
            await asyncio.sleep(min(max(client.connecting_s, RELAY_UNLESS_MAPPED_MIN_S), RELAY_UNLESS_MAPPED_MAX_S))
        if self._node.mapped_address is None:
            self._node.want_relay()
            return
        await asyncio.sleep(RELAY_UNLESS_OPEN_S)
        if not self._opened.done():
            self._node.want_relay()
