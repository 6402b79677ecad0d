"""One session of two peers: the paths between them, the QUIC connection over these, the flows inside it."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import deque
from collections.abc import Sequence

from p2p.address import TransportAddress
from p2p.defaults import PATHS_REMEMBERED, SESSION_SEEK_S
from p2p.errors import DecodeError, P2PError
from p2p.forward.credit import CreditPool
from p2p.forward.multiplexer import Multiplexer
from p2p.forward.target import FlowAcceptor
from p2p.gather.candidates import CandidateChange
from p2p.identity import PeerId
from p2p.path.link import PathLink
from p2p.path.relay_base import RelayBase
from p2p.proto.ice import Candidate, CandidateType, Credentials
from p2p.proto.path.controller import PathController
from p2p.proto.path.events import (
    AllPathsLost,
    ChecksExhausted,
    OwnAddressSeen,
    PathAdded,
    PathDoubted,
    PathEvent,
    PathLost,
    PathSelected,
    PathSized,
)
from p2p.proto.path.path import PairReport, Path
from p2p.proto.path.plans import PortHint
from p2p.proto.path.reason import NatFacts, RelayReason, why_relayed
from p2p.proto.signalling.bodies import Answer, Offer, Trickle
from p2p.proto.stun.message import Message
from p2p.proto.tunnel.codes import GoodbyeCode
from p2p.proto.tunnel.control import PROTOCOL_VERSIONS, Role
from p2p.proto.tunnel.frames import Hello
from p2p.quic.connection import QuicConnection
from p2p.quic.engine import EngineConnection
from p2p.quic.packet_size import PacketSize
from p2p.session.candidates import read_lines, shown, write_lines
from p2p.session.first_path import way_to_relay
from p2p.session.guessing import Guessing
from p2p.session.node import Node
from p2p.session.observer import SessionObserver
from p2p.session.options import RelayPolicy
from p2p.session.owner import SessionOwner
from p2p.session.permissions import PeerPermissions
from p2p.session.plausible import is_plausible
from p2p.session.seeking import Seeking
from p2p.session.status import PathKind
from p2p.session.version import toolkit_version

logger = logging.getLogger(__name__)


class PeerSession:
    """Paths, connection and flows to one peer.

    Made when a session is asked for; packets flow once the peer's ICE credentials are known (``set_remote``) and a path
    is there. ``close`` or the loss of the QUIC connection ends it.

    Concurrency: one event loop, no task of its own.

    Args:
        node: What it lives on.
        session_id: 32 hexadecimal digits, the dialer's choice.
        peer: The other side; authenticated by the sealed signal that named it.
        peer_instance: Which of the peer's programs it is, for signals.
        role: Our side.
        engine_connection: The QUIC connection's engine half.
        owner: Who decides.
        acceptor: Connects the flows that the other side opens.
        pool: Memory for slow readers, shared by all sessions.
    """

    def __init__(
        self,
        node: Node,
        session_id: str,
        peer: PeerId,
        peer_instance: str,
        role: Role,
        engine_connection: EngineConnection,
        owner: SessionOwner,
        *,
        acceptor: FlowAcceptor | None = None,
        pool: CreditPool | None = None,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.session_id = session_id
        self.peer = peer
        self.peer_instance = peer_instance
        self.since_wall = time.time()
        self.reason: RelayReason | None = None
        self.error: P2PError | None = None
        self.is_established = False
        self.heard_at = loop.time()
        """When packets of the connection came last, by the monotonic clock."""
        self.flight: tuple[bytes, ...] = ()
        """Our first packets, which travel with offer or answer."""
        self.knock: bytes | None = None
        """The knock that asked for it, for signals to a dialer that may not have logged in yet."""
        self.peer_knows = False
        """Whether our half of offer and answer is on its way, so that news may follow."""
        self.history: deque[tuple[float, PathKind]] = deque(maxlen=PATHS_REMEMBERED)
        """When packets went over to which kind of path; the owner keeps it, by its own clock."""
        self._node = node
        self._loop = loop
        self._role = role
        self._owner = owner
        self._policy = node.options.relay_policy
        self.remote_facts = NatFacts()
        self._permissions = PeerPermissions()
        self._seeking = Seeking(loop, self._seek)
        self.credentials = Credentials.generate(os.urandom)
        self.controller = PathController(
            local=self.credentials,
            controlling=role is Role.DIALER,
            random_bytes=os.urandom,
            direct_enabled=self._policy is not RelayPolicy.ONLY,
            heartbeats=node.heartbeats,
            wider_bytes=node.endpoint.wider_bytes,
        )
        self.link = PathLink(loop, node.endpoint, self.controller, on_event=self._path_event)
        self._guessing = Guessing(
            loop,
            node,
            self.controller,
            self.link,
            facts=lambda: (node.facts, self.remote_facts),
            tell=self._tell_hint,
            controlling=role is Role.DIALER,
        )
        if role is Role.EXPOSER:
            self.link.limit_until_proven()
        self.connection = QuicConnection(
            loop, engine_connection, self.link, peer_public_key=peer.public_key if role is Role.DIALER else None
        )
        self._packet_size = PacketSize(loop, engine_connection, on_narrowed=self.connection.path_up)
        self.multiplexer = Multiplexer(
            self.connection,
            role,
            Hello(PROTOCOL_VERSIONS, toolkit_version()),
            SessionObserver(self, owner),
            loop=loop,
            acceptor=acceptor,
            pool=pool,
        )
        self.connection.handler = self.multiplexer
        node.router.attach(self.connection)
        node.packet_takers[self.connection] = self
        node.sessions[self.credentials.ufrag] = self
        node.listeners.append(self)
        for candidate in self.local_candidates():
            self.controller.add_local_candidate(candidate)

    # --- state ---------------------------------------------------------------------------------------------

    @property
    def path(self) -> Path | None:
        """The way packets go, or None while there is none that works."""
        path = self.controller.selected_path
        return path if path is not None and path.validated else None

    @property
    def rtt_s(self) -> float | None:
        """Smoothed round-trip time of the path."""
        path = self.path
        return None if path is None else self.controller.rtt_s(path)

    @property
    def has_remote(self) -> bool:
        """Whether the peer's half of offer and answer has come."""
        return self.controller.agent.remote_credentials is not None

    def local_candidates(self) -> tuple[Candidate, ...]:
        """Our addresses that this session may use."""
        return shown(self._node.candidates, self._policy)

    # --- signalling ----------------------------------------------------------------------------------------

    def set_remote(self, half: Offer | Answer) -> None:
        """Take the peer's half of offer and answer; checks begin. ``start`` follows.

        Args:
            half: What the peer sent.

        Raises:
            DecodeError: Its ICE credentials are none.
        """
        self.controller.set_remote_credentials(Credentials.from_wire_untrusted(half.ice))
        self.controller.end_of_candidates(local=self._node.is_gathered, remote=half.end)
        self.add_remote(half.candidates)
        self.set_remote_facts(half.nat)

    def start(self, flight: Sequence[bytes] = ()) -> None:
        """Begin the QUIC handshake; a dialer's first packets come with its offer.

        Afterwards ``flight`` has the first packets of this side, for the peer.
        """
        self.link.hold()
        self.connection.start()
        self.receive_flight(flight)
        self.flight = self.link.take_held()

    def receive_flight(self, flight: Sequence[bytes]) -> None:
        """Take packets of the handshake that came with a signal; what they call for waits for the first path."""
        now = self._loop.time()
        if not self.controller.sending_paths:
            self.link.hold()
        for packet in flight:
            self.connection.receive(packet, len(packet), now)
        self.connection.after_receive(now)

    def permit_seen(self, host: str) -> None:
        """Exposer: open our relay for a dialer before its candidates come; see ``PeerPermissions.add_seen``."""
        self._permissions.add_seen(host, self._node.relay, self._node.hosts)

    def announced(self) -> None:
        """Let news follow: our half of offer and answer is on its way."""
        self.peer_knows = True
        self._owner.announced(self)

    def add_remote(self, lines: Sequence[str]) -> None:
        """Take candidates of the peer; unusable ones are skipped."""
        for candidate in read_lines(lines, session=self.session_id[:8]):
            if not is_plausible(candidate.address, self._node.hosts):
                logger.info("session %s: %s is no address to check", self.session_id[:8], candidate.address)
            elif self.path is not None and not self.path.is_direct and candidate.address == self.path.remote:
                # It says again what we use: it seeks us. The relay may have forgotten us, and we not know it yet.
                self._node.look_around()
            elif self._policy is not RelayPolicy.NEVER or candidate.type is not CandidateType.RELAYED:
                is_host = candidate.type is CandidateType.HOST
                self._permissions.add(candidate.address, self._node.relay, is_host=is_host)
                self.controller.add_remote_candidate(candidate)
        self.link.poke()
        self._guessing.update()

    def remove_remote(self, lines: Sequence[str]) -> None:
        """Learn that the peer is gone from addresses."""
        for candidate in read_lines(lines, session=self.session_id[:8]):
            self.controller.remove_remote_candidate(candidate.address, self._loop.time())
        self.link.poke()

    def set_remote_facts(self, facts: object) -> None:
        """Take what the peer knows of its NAT; nonsense is ignored."""
        try:
            self.remote_facts = NatFacts.from_wire_untrusted(facts)
        except DecodeError:
            return
        self._use_facts()

    def take_hint(self, hint: object) -> None:
        """Take what the peer says of its ports, for the plans that guess them; nonsense is ignored."""
        self._guessing.hint_received(hint)

    def start_over_relay(self) -> None:
        """Dialer: do not wait for a check but send to the peer's relayed address at once."""
        way = None if self.controller.sending_paths else way_to_relay(self._node, self.controller.agent)
        if way is not None:
            self.controller.set_optimistic(*way)
            self.link.poke()

    # --- what the node tells -------------------------------------------------------------------------------

    def stun_received(self, message: Message, base_id: int, source: TransportAddress, now: float) -> bool:
        """Offer a STUN message; see ``PathLink.stun_received``."""
        return self.link.stun_received(message, base_id, source, now)

    def packets_received(self, base_id: int, source: TransportAddress, size: int, now: float) -> None:
        """Note where packets of the connection come from; without a path yet, answers go back there."""
        self.heard_at = now
        self.link.packets_received(size)
        self.controller.path_alive(base_id, source, now)
        base = self._node.endpoint.bases.get(base_id)
        is_allowed = self._policy is not RelayPolicy.ONLY or isinstance(base, RelayBase)
        if is_allowed and not self.controller.sending_paths:
            self.controller.set_optimistic(base_id, source)
            self.link.poke()

    def candidates_changed(self, change: CandidateChange) -> None:
        """Check what is new of our addresses, name what is gone no longer, and tell the peer what is news to it."""
        for candidate in shown(change.removed, self._policy):
            self.controller.agent.remove_local_candidate(candidate)
        self._permissions.use(self._node.relay)
        for candidate in shown(change.added, self._policy):
            self.controller.add_local_candidate(candidate)
        new, gone = (write_lines(shown(some, self._policy)) for some in (change.news.added, change.news.removed))
        if new or gone:
            self._owner.send_signal(self, Trickle(session=self.session_id, candidates=new, gone=gone))
        if change.added and self._role is Role.DIALER and self.has_remote:
            self.start_over_relay()
        self.link.poke()

    def network_changed(self, *, moved: bool) -> None:
        """Probe every path and try every pair again; if we have moved, let QUIC find its speed anew."""
        self.controller.network_changed(self._loop.time())
        if moved:
            self.connection.path_changed()
        self.link.poke()

    def base_removed(self, base_id: int) -> None:
        """Give up the paths of a base that is gone."""
        self.controller.remove_base(base_id, self._loop.time())
        self.link.poke()

    def facts_changed(self, facts: NatFacts) -> None:
        """Use what is known of our NAT now, and tell the peer."""
        self._use_facts()
        self._owner.send_signal(self, Trickle(session=self.session_id, nat=facts.to_wire()))

    def gathered(self) -> None:
        """Say that we have no more addresses for now."""
        self.controller.end_of_candidates(local=True)
        self._owner.send_signal(self, Trickle(session=self.session_id, end=True))
        self.link.poke()

    def _use_facts(self) -> None:
        self.controller.set_nat_facts(self._node.facts, self.remote_facts, self._loop.time())
        if self.reason is not None:
            self._explain(self.controller.report())
        self.link.poke()
        self._guessing.update()

    def _tell_hint(self, hint: PortHint) -> None:
        self._owner.send_signal(self, Trickle(session=self.session_id, guess=hint.to_wire()))

    def _explain(self, report: Sequence[PairReport]) -> None:
        """Say why the session is relayed, again when better knowledge gives another reason."""
        before, self.reason = self.reason, why_relayed(self._node.facts, self.remote_facts, report)
        if before is None or before.code is not self.reason.code:
            self._owner.relayed(self, self.reason)

    # --- the end -------------------------------------------------------------------------------------------

    def close(self, code: GoodbyeCode = GoodbyeCode.DONE, reason: str = "") -> None:
        """End the session now; ``SessionOwner.closed`` follows."""
        self.multiplexer.close(code, reason)

    def release(self) -> None:
        """Leave the node; the connection's last packet has been sent or is not worth waiting for."""
        self._seeking.stop()
        self._guessing.close()
        self.link.close()
        self._packet_size.close()
        self._permissions.release()
        self._node.packet_takers.pop(self.connection, None)
        self._node.sessions.pop(self.credentials.ufrag, None)
        if self in self._node.listeners:
            self._node.listeners.remove(self)

    # --- paths ---------------------------------------------------------------------------------------------

    def _path_event(self, event: PathEvent) -> None:
        match event:
            case PathSized(_, packet_bytes):
                self._packet_size.follow(packet_bytes)
            case PathSelected(path, previous):
                if previous is not None and previous.key != path.key:
                    self.connection.path_changed()
                elif not self.link.send_held():
                    self.connection.path_up()
                if path.validated:
                    self.link.lift_limit()
                    self._seeking.stop()
                if path.is_direct:
                    self.reason = None
                logger.info("session %s: %s path %s", self.session_id[:8], path.kind, path.remote)
                if previous is None or previous.key != path.key:
                    self._owner.path_changed(self)
            case ChecksExhausted(report):
                self._explain(report)
            case PathDoubted():
                # Perhaps a router forgot us: then the relay and the outside know us by an address that is gone.
                self._node.look_around()
            case PathLost(path) if not path.is_direct:
                self._node.look_around()
            case OwnAddressSeen(seen) if all(seen.host != own.address.host for own in self._node.candidates):
                self._node.look_around()
            case AllPathsLost():
                # A relay that has restarted gives us the same address again: both sides then meet there without a word.
                self._seeking.begin(after_s=SESSION_SEEK_S if self._node.awaits_relay else 0.0)
        if isinstance(event, PathAdded | PathLost):
            self._guessing.update()

    def _seek(self) -> None:
        """Without any path: ask the relay for our address there, and the peer whether it knows us.

        A peer that has restarted answers with a farewell, so that nobody waits for a session that is gone.
        """
        logger.info("session %s: no path, seeking one", self.session_id[:8])
        self._node.look_around()
        lines, facts = write_lines(self.local_candidates()), self._node.facts.to_wire()
        self._owner.send_signal(self, Trickle(session=self.session_id, candidates=lines, nat=facts))
