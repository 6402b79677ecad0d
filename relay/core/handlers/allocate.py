"""Allocate: makes an allocation. Source: RFC 8656 section 7.2, RFC 6062 section 5.1."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from p2p.address import TransportAddress
from p2p.proto.stun.attributes import (
    ADDITIONAL_ADDRESS_FAMILY,
    ADDRESS_ERROR_CODE,
    ALTERNATE_SERVER,
    DONT_FRAGMENT,
    EVEN_PORT,
    FAMILY_IPV4,
    FAMILY_IPV6,
    LIFETIME,
    MOBILITY_TICKET,
    REQUESTED_ADDRESS_FAMILY,
    REQUESTED_TRANSPORT,
    RESERVATION_TOKEN,
    TRANSPORT_TCP,
    TRANSPORT_UDP,
    XOR_MAPPED_ADDRESS,
    XOR_RELAYED_ADDRESS,
    AddressErrorCode,
)
from p2p.proto.stun.message import AttributeValue, Message
from relay.core.allocation import Allocation, IndicationEncoder, Neighbourhood, RelayedSocket
from relay.core.counters import RelayCounters
from relay.core.five_tuple import ClientTransport
from relay.core.handlers.lifetimes import granted_lifetime_s
from relay.core.handlers.refresh import new_ticket
from relay.core.quotas import Quotas
from relay.core.rates import Rates
from relay.core.relayed_ports import NoPortError, RelayedPorts
from relay.core.request import RefusedError, Request, StunError
from relay.core.table import AllocationTable


@dataclass(frozen=True, slots=True)
class _Wish:
    """What an Allocate request asks for, once it is known to make sense."""

    families: tuple[bool, ...]
    """Address families, True for IPv6."""
    even_port: bool
    reserve_next: bool
    token: bytes | None
    is_tcp: bool


class AllocateHandler:
    """Answers Allocate requests.

    Args:
        table: Where allocations go.
        ports: Where relayed sockets come from.
        quotas: Counts the relayed addresses.
        rates: Limits what the allocations relay.
        neighbourhood: The relayed addresses of this relay.
        indications: Given to the allocations.
        counters: Given to the allocations.
        random_bytes: Source of mobility tickets.
    """

    def __init__(
        self,
        *,
        table: AllocationTable,
        ports: RelayedPorts,
        quotas: Quotas,
        rates: Rates,
        neighbourhood: Neighbourhood,
        indications: IndicationEncoder,
        counters: RelayCounters,
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self.is_draining = False
        self.tcp_to_peers = False
        self.alternate_servers: tuple[TransportAddress, ...] = ()
        self._table = table
        self._ports = ports
        self._quotas = quotas
        self._rates = rates
        self._neighbourhood = neighbourhood
        self._indications = indications
        self._counters = counters
        self._random_bytes = random_bytes

    def handle(self, request: Request) -> tuple[AttributeValue, ...]:
        """Make an allocation.

        Args:
            request: Authenticated, on a five-tuple without an allocation.

        Returns:
            The attributes of the success response.

        Raises:
            RefusedError: With the error of the step that failed.
        """
        if request.allocation is not None:
            raise RefusedError(StunError.ALLOCATION_MISMATCH, "the five-tuple has an allocation")
        wish = _wish_of(request.message)
        if wish.is_tcp and not self.tcp_to_peers:
            raise RefusedError(StunError.UNSUPPORTED_TRANSPORT, "TCP to peers is not allowed here")
        if wish.is_tcp and request.five_tuple.transport is ClientTransport.UDP:
            raise RefusedError(StunError.BAD_REQUEST, "TCP to peers needs TCP to the client")
        if wish.token is None and not any(map(self._ports.has_family, wish.families)):
            raise RefusedError(StunError.ADDRESS_FAMILY_NOT_SUPPORTED, "no relayed address of this family")
        if self.is_draining:
            raise self._elsewhere(request, "the relay is draining")
        wanted = len(wish.families) + wish.reserve_next
        exceeded = self._quotas.exceeded(request.proof.quota_owner, request.client.host, wanted)
        if exceeded == "total":
            raise self._elsewhere(request, "the relay is full")
        if exceeded is not None:
            raise RefusedError(StunError.ALLOCATION_QUOTA_REACHED, f"quota of this {exceeded}")
        try:
            sockets, token = self._open(wish, request)
        except NoPortError as error:
            raise RefusedError(StunError.INSUFFICIENT_CAPACITY, error.detail) from error
        allocation = self._allocation(request, sockets)
        lifetime_s = granted_lifetime_s(request.message.get(LIFETIME))
        self._table.add(allocation, request.now + lifetime_s)
        for socket in sockets.values():
            socket.attach(allocation)
        attributes = [XOR_RELAYED_ADDRESS(socket.relayed_address) for socket in sockets.values()]
        answer: list[AttributeValue] = [*attributes, LIFETIME(lifetime_s)]
        if request.message.get(MOBILITY_TICKET) is not None:
            self._table.issue_ticket(allocation, ticket := new_ticket(self._random_bytes))
            answer.append(MOBILITY_TICKET(ticket))
        if token is not None:
            answer.append(RESERVATION_TOKEN(token))
        for is_ipv6 in wish.families:
            if is_ipv6 not in sockets:
                family = FAMILY_IPV6 if is_ipv6 else FAMILY_IPV4
                supported = self._ports.has_family(is_ipv6)
                number = StunError.INSUFFICIENT_CAPACITY if supported else StunError.ADDRESS_FAMILY_NOT_SUPPORTED
                answer.append(ADDRESS_ERROR_CODE(AddressErrorCode(family, number)))
        answer.append(XOR_MAPPED_ADDRESS(request.client))
        return tuple(answer)

    def _elsewhere(self, request: Request, why: str) -> RefusedError:
        """Name a server that the client can reach from where it is, if there is one. Source: RFC 8489 section 10."""
        for server in self.alternate_servers:
            if server.is_ipv6 == request.client.is_ipv6:
                return RefusedError(StunError.TRY_ALTERNATE, why, ALTERNATE_SERVER(server))
        return RefusedError(StunError.INSUFFICIENT_CAPACITY, why)

    def _allocation(self, request: Request, sockets: dict[bool, RelayedSocket]) -> Allocation:
        return Allocation(
            five_tuple=request.five_tuple,
            leg=request.leg,
            owner=request.proof.username,
            quota_owner=request.proof.quota_owner,
            keys=request.proof.keys,
            transaction_id=request.message.transaction_id,
            sockets=sockets,
            is_tcp=request.message.get(REQUESTED_TRANSPORT) == TRANSPORT_TCP,
            neighbourhood=self._neighbourhood,
            indications=self._indications,
            counters=self._counters,
            rates=self._rates.join(request.proof.quota_owner, request.client.host),
            created_at=request.now,
        )

    def _open(self, wish: _Wish, request: Request) -> tuple[dict[bool, RelayedSocket], bytes | None]:
        """Open what was asked for; of two families one is enough."""
        now = request.now
        if wish.token is not None:
            socket = self._ports.claim(wish.token)
            return {socket.relayed_address.is_ipv6: socket}, None
        if wish.reserve_next:
            owner = request.proof.quota_owner, request.client.host
            socket, token = self._ports.open_even(
                wish.families[0], now, on_reservation_over=partial(self._quotas.remove, *owner)
            )
            self._quotas.add(*owner)
            return {wish.families[0]: socket}, token
        sockets = {}
        missing = NoPortError("no address of these families")
        for is_ipv6 in wish.families:
            try:
                if wish.even_port:
                    sockets[is_ipv6], _ = self._ports.open_even(is_ipv6, now)
                else:
                    sockets[is_ipv6] = self._ports.open(is_ipv6, now, holder=_holder_of(request), is_tcp=wish.is_tcp)
            except NoPortError as error:
                missing = error  # of the other one the answer tells with ADDRESS-ERROR-CODE
        if not sockets:
            raise missing
        return sockets, None


def _holder_of(request: Request) -> str:
    """Name a client as it will be named after a restart: a new TCP connection of it comes from another port."""
    port = request.client.port if request.five_tuple.transport is ClientTransport.UDP else 0
    return f"{request.client.host} {port} {request.proof.quota_owner}"


def _wish_of(message: Message) -> _Wish:
    """Read a request in the order of the steps; raises RefusedError."""
    transport = message.get(REQUESTED_TRANSPORT)
    if transport is None:
        raise RefusedError(StunError.BAD_REQUEST, "no REQUESTED-TRANSPORT")
    if transport not in (TRANSPORT_UDP, TRANSPORT_TCP):
        raise RefusedError(StunError.UNSUPPORTED_TRANSPORT, f"transport {transport}")
    if message.get(MOBILITY_TICKET):
        raise RefusedError(StunError.BAD_REQUEST, "a mobility ticket with a new allocation")
    token, even_port = message.get(RESERVATION_TOKEN), message.get(EVEN_PORT)
    family, additional = message.get(REQUESTED_ADDRESS_FAMILY), message.get(ADDITIONAL_ADDRESS_FAMILY)
    is_tcp = transport == TRANSPORT_TCP
    if is_tcp and not (token is None and even_port is None and message.get(DONT_FRAGMENT) is None):
        raise RefusedError(StunError.BAD_REQUEST, "what only datagrams have, with TCP")
    if token is not None and not (even_port is None and family is None and additional is None):
        raise RefusedError(StunError.BAD_REQUEST, "RESERVATION-TOKEN with what it already decides")
    if family not in (None, FAMILY_IPV4, FAMILY_IPV6):
        raise RefusedError(StunError.ADDRESS_FAMILY_NOT_SUPPORTED, f"family {family}")
    if additional is not None:
        if family is not None or additional != FAMILY_IPV6:
            raise RefusedError(StunError.BAD_REQUEST, "ADDITIONAL-ADDRESS-FAMILY asks for IPv6 beside IPv4")
        if even_port:
            raise RefusedError(StunError.BAD_REQUEST, "a port cannot be reserved in two families")
    families = (False, True) if additional is not None else (family == FAMILY_IPV6,)
    return _Wish(families, even_port is not None, bool(even_port), token, is_tcp)
