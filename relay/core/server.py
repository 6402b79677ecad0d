"""The TURN server's control plane: what a client's message leads to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from p2p.defaults import RELAY_MOBILE_GAP_S
from p2p.errors import DecodeError
from p2p.proto.stun.attributes import (
    DATA,
    DONT_FRAGMENT,
    MOBILITY_TICKET,
    XOR_MAPPED_ADDRESS,
    XOR_PEER_ADDRESS,
)
from p2p.proto.stun.message import (
    AttributeValue,
    Message,
    MessageClass,
    Method,
    decode_untrusted,
)
from relay.core.allocation import Allocation, ClientLeg, Neighbourhood, RelayedSocket
from relay.core.authentication import Authenticator
from relay.core.counters import Drop, RelayCounters
from relay.core.five_tuple import ClientTransport, FiveTuple
from relay.core.guesses import GuessLimit
from relay.core.handlers.allocate import AllocateHandler
from relay.core.handlers.peers import ChannelBindHandler, CreatePermissionHandler
from relay.core.handlers.refresh import RefreshHandler
from relay.core.indications import Indications
from relay.core.known_hosts import KnownHosts
from relay.core.messages import encode_answer, not_understood, require_understood
from relay.core.policy import PeerForbiddenError
from relay.core.quotas import Quotas
from relay.core.rates import Rates
from relay.core.relayed_ports import RelayedPorts
from relay.core.request import Proof, RefusedError, Request, StunError
from relay.core.rules import Rules
from relay.core.strangers import StrangerLimit
from relay.core.table import AllocationTable, EndReason
from relay.core.tcp import TcpRelaying


class RelayObserver(Protocol):
    """Who wants to know what happens to allocations, for a log."""

    def allocation_created(self, allocation: Allocation) -> None:
        """A client has got an allocation."""
        ...

    def allocation_ended(self, allocation: Allocation, reason: EndReason) -> None:
        """An allocation is gone."""
        ...

    def request_refused(self, five_tuple: FiveTuple, method: str, error: RefusedError) -> None:
        """A request was answered with an error."""
        ...


class _Handler(Protocol):
    def handle(self, request: Request) -> tuple[AttributeValue, ...] | None: ...


class TurnServer:
    """Answers requests and takes indications, for any number of listeners.

    Driven by: ``receive`` for each STUN message of a client, ``handle_timer`` at ``get_timer``, ``disconnect`` when a
    client's connection ends. ChannelData does not come here: listeners look into ``table`` themselves.

    Timers: one, for the earliest end of an allocation, permission, channel or reservation.

    Args:
        realm: The relay's realm.
        rules: Who may use the relay, for what, and how much.
        ports: Where relayed sockets come from.
        neighbourhood: The relayed addresses of this relay.
        clock: The same monotonic instant as ``now``, for limits on data.
        strangers: What addresses without a proof may get.
        guesses: How often credentials may be wrong.
        known: Is told of everybody who uses this server.
        counters: What is counted.
        observer: What is logged.
        random_bytes: Source of randomness.
    """

    def __init__(
        self,
        *,
        realm: str,
        rules: Rules,
        ports: RelayedPorts,
        neighbourhood: Neighbourhood,
        clock: Callable[[], float],
        strangers: StrangerLimit,
        guesses: GuessLimit,
        known: KnownHosts,
        counters: RelayCounters,
        observer: RelayObserver,
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self.counters = counters
        self._authenticator = Authenticator(
            realm=realm, credentials=rules.credentials, nonces=rules.nonces, counters=counters
        )
        self._ports = ports
        self._strangers = strangers
        self._guesses = guesses
        self._known = known
        self._observer = observer
        self._quotas = Quotas(rules.quotas)
        self._rates = Rates(rules.rates, clock=clock)
        self.table = AllocationTable(
            neighbourhood=neighbourhood,
            quotas=self._quotas,
            rates=self._rates,
            release=self._release,
            counters=counters,
            on_removed=self._ended,
        )
        self.tcp = TcpRelaying(
            table=self.table,
            policy=rules.policy,
            neighbourhood=neighbourhood,
            counters=counters,
            random_bytes=random_bytes,
        )
        self._allocate = AllocateHandler(
            table=self.table,
            ports=ports,
            quotas=self._quotas,
            rates=self._rates,
            neighbourhood=neighbourhood,
            indications=Indications(random_bytes),
            counters=counters,
            random_bytes=random_bytes,
        )
        self._allocate.alternate_servers = rules.alternate_servers
        self._allocate.tcp_to_peers = rules.tcp_to_peers
        self._gates = (
            CreatePermissionHandler(self.table, rules.policy),
            ChannelBindHandler(self.table, rules.policy),
            self.tcp.connect_handler,
        )
        self._handlers: dict[int, _Handler] = {
            Method.ALLOCATE: self._allocate,
            Method.REFRESH: RefreshHandler(self.table, random_bytes),
            Method.CREATE_PERMISSION: self._gates[0],
            Method.CHANNEL_BIND: self._gates[1],
            Method.CONNECT: self._gates[2],
            Method.CONNECTION_BIND: self.tcp.bind_handler,
        }

    # --- input ---------------------------------------------------------------------------------------------

    def receive(self, data: bytes, five_tuple: FiveTuple, leg: ClientLeg, now: float, now_wall: float) -> bytes | None:
        """Take one STUN message of a client.

        Args:
            data: One whole message.
            five_tuple: Where it came from.
            leg: The way back; an allocation that is made keeps it.
            now: Monotonic instant in seconds.
            now_wall: Unix time in seconds.

        Returns:
            The answer for the sender, if there is one.
        """
        try:
            message = decode_untrusted(data)
        except DecodeError:
            self.counters.drops[Drop.MALFORMED] += 1
            return None
        if message.message_class is MessageClass.INDICATION:
            self._take_indication(message, five_tuple)
            return None
        is_known = message.method == Method.BINDING or message.method in self._handlers
        if message.message_class is not MessageClass.REQUEST or not is_known or message.is_classic:
            self.counters.drops[Drop.UNSUPPORTED] += 1
            return None
        return self._answer(message, five_tuple, leg, now, now_wall)

    def disconnect(self, five_tuple: FiveTuple, now: float) -> None:
        """End the allocation of a client whose connection is gone; one with a ticket waits for its client a while."""
        allocation = self.table.find(five_tuple)
        if allocation is None:
            return
        if allocation.ticket:
            self.table.lose_client(allocation, now + RELAY_MOBILE_GAP_S)
        else:
            self.table.remove(allocation, EndReason.DISCONNECTED, now)

    def get_timer(self) -> float | None:
        """When ``handle_timer`` must be called next, as a monotonic instant, or None."""
        instants = (self.table.next_at(), self._ports.next_at(), self.tcp.connections.next_at())
        return min((at for at in instants if at is not None), default=None)

    def handle_timer(self, now: float) -> None:
        """End what was not refreshed in time."""
        self.table.expire(now)
        self._ports.expire(now)
        self.tcp.connections.expire(now)

    def _ended(self, allocation: Allocation, reason: EndReason) -> None:
        self.tcp.connections.end_all(allocation)
        self._observer.allocation_ended(allocation, reason)

    # --- rules ---------------------------------------------------------------------------------------------

    def apply(self, rules: Rules, now: float) -> None:
        """Go by other rules. What they do not allow ends: allocations of users who are gone, permissions for peers.

        Quotas end nothing: they hold for what is asked for next.

        Args:
            rules: The new ones.
            now: Monotonic instant in seconds.
        """
        self._authenticator.use(rules.credentials, rules.nonces)
        self._quotas.set_limits(rules.quotas)
        self._rates.set_limits(rules.rates)
        self._allocate.alternate_servers = rules.alternate_servers
        self._allocate.tcp_to_peers = rules.tcp_to_peers
        for gate in self._gates:
            gate.policy = rules.policy
        for allocation in list(self.table):
            if not rules.credentials.still_holds(allocation.owner, allocation.keys):
                self.table.remove(allocation, EndReason.DISMISSED, now)
                continue
            for host in list(allocation.permissions):
                try:
                    if not allocation.is_neighbour(host):
                        rules.policy.check(host, is_renewal=True)
                except PeerForbiddenError:
                    self.table.revoke(allocation, host)

    @property
    def is_draining(self) -> bool:
        """Whether new allocations are refused."""
        return self._allocate.is_draining

    def stop_allocating(self) -> None:
        """Refuse new allocations from now on; those that exist go on."""
        self._allocate.is_draining = True

    def close(self, now: float) -> None:
        """End all allocations and reservations."""
        for allocation in list(self.table):
            self.table.remove(allocation, EndReason.SHUTDOWN, now)
        self._ports.close(now)

    # --- requests ------------------------------------------------------------------------------------------

    def _answer(
        self, message: Message, five_tuple: FiveTuple, leg: ClientLeg, now: float, now_wall: float
    ) -> bytes | None:
        allocation = self.table.find(five_tuple)
        # A completed TCP handshake has proven the address: only datagrams can be aimed at someone else.
        is_datagram = five_tuple.transport is ClientTransport.UDP
        if is_datagram:
            has_budget = self._strangers.received(five_tuple.client, len(message.raw), now)
            if allocation is None and not has_budget:
                self.counters.drops[Drop.UNAUTHENTICATED_LIMIT] += 1
                return None
        proof: Proof | None = None
        method = Method(message.method)
        if allocation is None and method is Method.REFRESH:
            allocation = self.table.find_by_ticket(message.get(MOBILITY_TICKET) or b"")
        try:
            if method is not Method.BINDING:
                is_guess = self._authenticator.is_guess(message, allocation)
                if is_guess and not self._guesses.may_try(five_tuple.client, now):
                    self.counters.drops[Drop.GUESS_LIMIT] += 1
                    return None
                keeper = allocation or self.tcp.allocation_of_data(message)
                proof = self._authenticator.authenticate(message, five_tuple, keeper, now_wall)
                is_repeated = allocation is not None and allocation.transaction_id == message.transaction_id
                if method is Method.ALLOCATE and allocation is not None and is_repeated:
                    return allocation.created_response
            require_understood(message)
            if proof is None:
                attributes: tuple[AttributeValue, ...] = (XOR_MAPPED_ADDRESS(five_tuple.client),)
            else:
                request = Request(message, five_tuple, leg, proof, allocation, now)
                handled = self._handlers[method].handle(request)
                if handled is None:
                    return None  # Connect: the answer comes when the peer has answered
                attributes = handled
            response = message.success_response(*attributes)
            outcome = "success"
        except RefusedError as error:
            if error.number is StunError.UNAUTHENTICATED and self._authenticator.is_guess(message, allocation):
                self._guesses.failed(five_tuple.client, now)
            self._observer.request_refused(five_tuple, method.name.lower(), error)
            # Those who have not proven who they are get no text: it would only make the answer larger.
            reason = error.number.name.replace("_", " ").capitalize() if proof is not None else ""
            response = message.error_response(error.number, reason, *error.attributes)
            outcome = str(error.number.value)
        data = encode_answer(message, response, proof)
        if proof is None and is_datagram and not self._strangers.may_send(five_tuple.client, len(data), now):
            self.counters.drops[Drop.UNAUTHENTICATED_LIMIT] += 1
            return None
        if proof is not None or method is Method.BINDING:
            self._known.note(five_tuple.client.host, now, is_proven=proof is not None or not is_datagram)
        self.counters.requests[method.name.lower(), outcome] += 1
        if method is Method.ALLOCATE and response.message_class is MessageClass.SUCCESS:
            made = self.table.find(five_tuple)
            assert made is not None
            made.created_response = data
            self._observer.allocation_created(made)
        return data

    # --- indications ---------------------------------------------------------------------------------------

    def _take_indication(self, message: Message, five_tuple: FiveTuple) -> None:
        """Relay a Send indication; anything else, or anything wrong, is dropped without a word.

        Source: RFC 8656 section 11.2.
        """
        peer, payload = message.get(XOR_PEER_ADDRESS), message.get(DATA)
        if message.method != Method.SEND or peer is None or payload is None or not_understood(message):
            self.counters.drops[Drop.UNSUPPORTED] += 1
            return
        allocation = self.table.find(five_tuple)
        if allocation is None:
            self.counters.drops[Drop.NO_ALLOCATION] += 1
            return
        allocation.send_to_peer(peer, payload, whole=message.get(DONT_FRAGMENT) is not None)

    def _release(self, socket: RelayedSocket, now: float) -> None:
        self._ports.release(socket, now)
