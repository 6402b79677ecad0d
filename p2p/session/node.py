"""What every peer program has, whatever its role: identity, signalling, sockets, addresses, a place on a relay."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Self

from p2p.address import TransportAddress
from p2p.aio.tasks import TaskScope
from p2p.defaults import (
    LOOK_AROUND_S,
    SERVERS_USED,
    SIGNALLING_BACKOFF_MAX_S,
    SIGNALLING_BACKOFF_MIN_S,
)
from p2p.errors import ConfigError, DecodeError, RelayError
from p2p.gather.candidates import CandidateBook, CandidateChange
from p2p.gather.discovery import Discovery
from p2p.gather.hosts import HostSockets
from p2p.gather.interfaces import network_state
from p2p.gather.monitor import NetworkChange, NetworkMonitor
from p2p.gather.relay_distances import RelayDistances
from p2p.gather.relay_keeper import RelayKeeper
from p2p.gather.relay_server import RelayServer
from p2p.identity import Identity, PeerId
from p2p.path.endpoint import Endpoint
from p2p.path.relay_base import RelayBase
from p2p.proto.ice import Candidate
from p2p.proto.ice.messages import receiver_fragment
from p2p.proto.path.heartbeats import Heartbeats
from p2p.proto.path.reason import NatFacts
from p2p.proto.signalling.messages import Welcome
from p2p.proto.stun.message import MessageClass, decode_untrusted
from p2p.quic.connection import QuicConnection
from p2p.quic.engine import Engine, EngineConfig
from p2p.quic.load import load_engine
from p2p.quic.routing import CidRouter
from p2p.session.backoff import wait_after_s
from p2p.session.host_slots import guess_limits
from p2p.session.knocking import Knocking
from p2p.session.listeners import NodeListener, PacketTaker
from p2p.session.options import PeerOptions, RelayPolicy
from p2p.session.own_addresses import any_on_this_host, is_own
from p2p.session.plausible import is_plausible
from p2p.session.port_mapping import MappedPorts
from p2p.session.spare_sockets import SpareSockets, StunTaker
from p2p.session.trust import trust
from p2p.signalling.client import SignallingClient
from p2p.signalling.direct import DirectSignalling
from p2p.signalling.ways import SignallingWays

logger = logging.getLogger(__name__)


class Node:
    """Sockets, signalling and addresses of one program; sessions live on it.

    It is the sink of its endpoint: STUN goes to the discovery and to the sessions, QUIC to the router.

    Concurrency: one event loop; ``async with`` runs it.

    Args:
        options: What the user wants.
        identity: Who we are.
        urls: Rendezvous servers, the preferred one first; none where peers meet without.
        instance: Tells the programs of one identity apart; a login with the same one takes over.
        wants_relay: Whether to hold an address on a relay from the start; ``want_relay`` asks for one later.
        on_signal: Called with the sender, its instance and the opened body of each signal.
        direct: Signals without a server; None where the user wants no direct path.
    """

    def __init__(
        self,
        options: PeerOptions,
        identity: Identity,
        urls: Sequence[str],
        *,
        instance: str,
        wants_relay: bool,
        on_signal: Callable[[PeerId, str, bytes], None],
        direct: DirectSignalling | None = None,
    ) -> None:
        self.options = options
        self.identity = identity
        self.engine: Engine = load_engine(options.engine)
        self.router = CidRouter()
        self.ssl_context = trust(options)
        client = partial(SignallingClient, instance=instance, token=options.token, ssl_context=self.ssl_context)
        self.signalling = SignallingWays(client(urls, identity) if urls else None, direct, on_signal)
        self.listeners: list[NodeListener] = []
        self.sessions: dict[str, StunTaker] = {}
        """By the user name fragment of their ICE credentials."""
        self.packet_takers: dict[QuicConnection, PacketTaker] = {}
        self.heartbeats = Heartbeats()
        """How often all sessions keep their paths open."""
        self.guess_limits = guess_limits(options.shared_folder)
        self.last_relay_error: RelayError | None = None
        self.relay_gained = asyncio.Event()
        """Set once we have had an address on a relay."""
        self.seen_at = ""
        """The IP address the rendezvous sees us at, unless peers must not know it."""
        self.hosts: tuple[str, ...] = ()
        """This host's addresses, as far as peers may be there; loopback ones when the rendezvous is on this host."""
        self._wants_relay = wants_relay
        self._book = CandidateBook()
        self._knocking: Knocking | None = None
        self._look_around_at = 0.0
        self._replaced: tuple[Candidate, ...] = ()
        self._scope = TaskScope()
        self._urls = tuple(urls)
        self.is_local = any_on_this_host(urls)
        """Whether this is for peers on this host; to be changed before the block is entered."""
        self.instance = instance

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self.endpoint = Endpoint(loop, self)
        self.spare_sockets = SpareSockets(self.endpoint)
        self._discovery = Discovery(
            loop,
            self.endpoint,
            self._scope,
            on_mapped=self._mapped,
            on_facts=self._facts_changed,
            on_done=self._gathered,
            on_lifetime=self.heartbeats.measured,
            direct_disabled=self.options.relay_policy is RelayPolicy.ONLY,
            birthday_disabled=not self.options.birthday,
        )
        self._relay_distances = RelayDistances(self.endpoint, self._scope)
        self._relay_keeper = RelayKeeper(
            self.endpoint,
            self._relay_distances,
            on_gained=self._relay_gained,
            on_lost=self._relay_lost,
            on_problem=self._relay_problem,
            on_silent=self.signalling.ask_for_relays,
            ssl_context=self.ssl_context,
        )
        self._sockets = HostSockets(
            self.endpoint, self._book, are_candidates=self.options.relay_policy is not RelayPolicy.ONLY
        )
        self.mapped_ports = MappedPorts(self.endpoint, self._book, on_change=self._announce)
        self._monitor = NetworkMonitor(
            loop, read_state=partial(network_state, loopback=self.is_local), on_change=self._network_changed
        )
        await self._scope.__aenter__()
        try:
            self._monitor.start()
            self.hosts = self._monitor.state.addresses
            self._sockets.update(self.hosts)
            self.signalling.begin(loop, self.endpoint, on_welcome=self._welcomed)
            await self.signalling.__aenter__()
        except BaseException as error:
            self._monitor.close()
            self.endpoint.close()
            await self._scope.__aexit__(type(error), error, error.__traceback__)
            raise
        if self.options.port_mapping and self.options.relay_policy is not RelayPolicy.ONLY:
            self.mapped_ports.start(self._scope, self._urls, self.hosts)
        if self._wants_relay:
            self._start_relay()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._monitor.close()
        self._relay_distances.close()
        if self._knocking is not None:
            self._knocking.close()
        try:
            await self.signalling.__aexit__(kind, error, traceback)
        finally:
            # The keeper gives its address back while the scope ends, so the sockets close last.
            try:
                await self._scope.__aexit__(kind, error, traceback)
            finally:
                self.endpoint.close()

    # --- what sessions ask ---------------------------------------------------------------------------------

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """The addresses we can be reached at, as far as they are known."""
        return self._book.candidates

    @property
    def facts(self) -> NatFacts:
        """What is known of our NAT."""
        return self._discovery.facts

    @property
    def port_range(self) -> tuple[int, int] | None:
        """The lowest and the highest port that our NAT gives at random, as far as it was seen."""
        return self._discovery.port_range

    @property
    def mapped_address(self) -> TransportAddress | None:
        """Where the outside sees us, from the first STUN server that answered."""
        return self._discovery.mapped_address

    @property
    def relay(self) -> RelayBase | None:
        """Our address on a relay, when we have one."""
        return self._relay_keeper.current

    @property
    def awaits_relay(self) -> bool:
        """Whether our address on a relay was lost, and the first answer to asking for another one is not there yet."""
        return bool(self._replaced)

    @property
    def stun_servers(self) -> tuple[TransportAddress, ...]:
        """The servers that tell us our mapped address."""
        return self._discovery.servers

    def want_relay(self) -> None:
        """Hold an address on a relay from now on; a second call does nothing."""
        if not self._wants_relay and self.options.relay_policy is not RelayPolicy.NEVER:
            self._wants_relay = True
            # A STUN server would have answered before somebody asks for a relay.
            self._relay_keeper.udp_is_blocked = self.mapped_address is None
            self._start_relay()

    def knock(self, pieces: Sequence[bytes]) -> Knocking:
        """Knock at the preferred rendezvous, in the place of an earlier knock."""
        if self._knocking is not None:
            self._knocking.close()
        self._knocking = Knocking(
            asyncio.get_running_loop(), self.endpoint.sockets, self._urls[0], pieces, on_mapped=self._discovery.told
        )
        self._scope.start(self._knocking.run(), name="knock")
        return self._knocking

    @property
    def is_gathered(self) -> bool:
        """Whether no more addresses and facts are expected for now."""
        return self._discovery.is_done or self.signalling.rendezvous is None

    def look_around(self) -> None:
        """Ask STUN servers and relay again what the outside knows us by: something makes us doubt it."""
        now = asyncio.get_running_loop().time()
        if now < self._look_around_at:
            return
        self._look_around_at = now + LOOK_AROUND_S
        self._discovery.ask_again()
        self.mapped_ports.check()
        if (relay := self.relay) is not None:
            relay.probe()
        else:
            self._relay_keeper.retry_now()

    # --- the endpoint's sink -------------------------------------------------------------------------------

    def stun_received(self, data: bytes, base_id: int, source: TransportAddress, now: float) -> None:
        """Give a STUN message to whom it belongs; nobody's are dropped."""
        if self._discovery.stun_received(data, base_id, source, now):
            return
        if self._relay_distances.stun_received(data, base_id, source, now):
            return
        if self._knocking is not None and self._knocking.stun_received(data, base_id, source, now):
            return
        try:
            # Once for all sessions: anybody can send us STUN, and it must not cost more the more sessions there are.
            message = decode_untrusted(data)
        except DecodeError:
            return
        if (owner := self.spare_sockets.taker(base_id)) is not None:
            owner.stun_received(message, base_id, source, now)
        elif message.message_class is MessageClass.REQUEST:
            session = self.sessions.get(receiver_fragment(message))
            if session is not None:
                session.stun_received(message, base_id, source, now)
        elif message.has_integrity:
            asking = self.sessions.get(self.endpoint.asked.asker(message.transaction_id) or "")
            if asking is not None:
                asking.stun_received(message, base_id, source, now)

    def quic_received(
        self, buffer: bytes, segment_size: int, base_id: int, source: TransportAddress, now: float
    ) -> None:
        """Give packets to their connections, and their path to the sessions."""
        connection = self.router.receive(buffer, segment_size, now)
        if connection is not None and (taker := self.packet_takers.get(connection)) is not None:
            taker.packets_received(base_id, source, len(buffer), now)

    def drained(self, now: float) -> None:
        """Let the connections answer what they received."""
        self.router.after_receive(now)

    def warm_up(self) -> None:
        """Make a first key exchange and seal a first body before the network waits for it: that takes up to 80 ms."""
        self.engine.client(EngineConfig()).start(asyncio.get_running_loop().time())
        self.identity.open_untrusted(self.identity.seal(self.identity.peer_id, b"", now_wall=0.0))

    # --- gathering -----------------------------------------------------------------------------------------

    def _network_changed(self, change: NetworkChange) -> None:
        """Go on where we are now: in another network, or again in one after sleep."""
        self.hosts = change.after.addresses
        self._announce(self._sockets.update(self.hosts))
        if change.moved and not change.is_cut_off:
            self._book.doubt_mapped()
            self._discovery.restart()
            self.mapped_ports.network_changed()
            self._relay_keeper.network_changed(is_elsewhere=change.is_elsewhere)
        local_host = self.signalling.local_host
        is_dead = local_host is not None and not is_own(local_host, self.hosts)
        if (change.is_elsewhere or is_dead) and not change.is_cut_off:
            self.signalling.reconnect()
        for listener in list(self.listeners):
            listener.network_changed(moved=change.moved)

    def _welcomed(self, welcome: Welcome) -> None:
        if self.options.relay_policy is not RelayPolicy.ONLY:
            self.seen_at = welcome.observed_address.host
        servers = []
        is_local = any(ipaddress.ip_address(host).is_loopback for host in self.hosts)
        for turn in welcome.turn[:SERVERS_USED]:
            try:
                servers.append(RelayServer.from_turn(turn, may_be_local=is_local))
            except ConfigError as error:
                logger.warning("%s", error)
        if self.options.relay_policy is not RelayPolicy.NEVER:
            self._relay_keeper.update(servers)
        stun = [server for server in welcome.stun if is_plausible(server, self.hosts)]
        self._discovery.update(stun[:SERVERS_USED])

    def _start_relay(self) -> None:
        backoff = partial(wait_after_s, least_s=SIGNALLING_BACKOFF_MIN_S, most_s=SIGNALLING_BACKOFF_MAX_S)
        keeping = self._relay_keeper.run(backoff=backoff, probe_s=lambda: self.heartbeats.standby_s)
        self._scope.start(keeping, name="relay keeper")

    def _relay_gained(self, relay: RelayBase) -> None:
        logger.info("relayed address %s over %s", relay.local_address, relay.protocol)
        self.last_relay_error = None
        self.relay_gained.set()
        self._announce(replace(self._book.add_relay(relay), removed=self._take_replaced()))
        if relay.mapped_address is not None and relay.socket_base_id is not None:
            self._mapped(relay.socket_base_id, relay.mapped_address, relay.server)

    def _relay_lost(self, relay: RelayBase, error: RelayError) -> None:
        logger.info("relayed address %s lost: %s", relay.local_address, error)
        # Nobody is told before it is known what takes its place: often the same address, at a relay that has restarted.
        self._replaced = self._book.remove_base(relay.base_id).removed
        # Perhaps it does not know us any more because the outside sees us elsewhere now.
        self._discovery.ask_again()
        for listener in list(self.listeners):
            listener.base_removed(relay.base_id)

    def _relay_problem(self, error: RelayError) -> None:
        logger.warning("no relay: %s", error)
        self.last_relay_error = error
        self.signalling.ask_for_relays()
        self._announce(CandidateChange(removed=self._take_replaced()))

    def _take_replaced(self) -> tuple[Candidate, ...]:
        replaced, self._replaced = self._replaced, ()
        return replaced

    def _mapped(self, base_id: int, mapped: TransportAddress, server: TransportAddress) -> None:
        if self.options.relay_policy is RelayPolicy.ONLY:
            return
        before = self._book.mapped_address(base_id, server)
        self._announce(self._book.set_mapped(base_id, mapped, server))
        self.mapped_ports.seen_outside()
        if before is not None and before.host != mapped.host:
            # The router has another address, and forgot all connections: nothing on this host tells us so.
            logger.info("the outside sees us at %s instead of %s", mapped.host, before.host)
            self.mapped_ports.network_changed()
            self.signalling.reconnect()
            for listener in list(self.listeners):
                listener.network_changed(moved=True)

    def _announce(self, change: CandidateChange) -> None:
        if not change:
            return
        for listener in list(self.listeners):
            listener.candidates_changed(change)

    def _facts_changed(self, facts: NatFacts) -> None:
        if facts.udp_blocked and self._wants_relay is False:
            self.want_relay()
        for listener in list(self.listeners):
            listener.facts_changed(facts)

    def _gathered(self) -> None:
        self._announce(self._book.drop_doubted())
        for listener in list(self.listeners):
            listener.gathered()
