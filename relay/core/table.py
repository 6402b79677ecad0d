"""All allocations, and when they, their permissions and their channels end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum
from typing import NamedTuple, TypeAlias

from p2p.address import TransportAddress
from p2p.defaults import RELAY_CHANNEL_LIFETIME_S, RELAY_PERMISSION_LIFETIME_S
from relay.core.allocation import Allocation, Channel, ClientLeg, Neighbourhood, RelayedSocket
from relay.core.counters import RelayCounters
from relay.core.expiry import ExpiryWheel
from relay.core.five_tuple import ClientTransport, FiveTuple
from relay.core.quotas import Quotas
from relay.core.rates import Rates


class EndReason(Enum):
    """Why an allocation ended. The values are the labels of the metric."""

    EXPIRED = "expired"
    RELEASED = "released"
    """The client asked for it, by a Refresh with lifetime 0."""
    DISCONNECTED = "disconnected"
    """The client's TCP or TLS connection ended."""
    SHUTDOWN = "shutdown"
    DISMISSED = "dismissed"
    """The operator took the user's name or secret away."""


class _PermissionKey(NamedTuple):
    allocation: Allocation
    host: str


class _ChannelKey(NamedTuple):
    allocation: Allocation
    number: int


_Key: TypeAlias = Allocation | _PermissionKey | _ChannelKey


class AllocationTable:
    """Finds allocations by five-tuple and by relayed address, and ends what is not refreshed.

    What has expired is taken out of every dict, so that being found means being valid.

    Args:
        neighbourhood: Where the relayed addresses are kept.
        quotas: Counts the relayed addresses.
        rates: Is told of allocations that end.
        release: Closes a relayed socket: ``release(socket, now)``.
        counters: What is counted.
        on_removed: Told of every allocation that ended.
    """

    def __init__(
        self,
        *,
        neighbourhood: Neighbourhood,
        quotas: Quotas,
        rates: Rates,
        release: Callable[[RelayedSocket, float], None],
        counters: RelayCounters,
        on_removed: Callable[[Allocation, EndReason], None],
    ) -> None:
        self._neighbourhood = neighbourhood
        self._quotas = quotas
        self._rates = rates
        self._release = release
        self._counters = counters
        self._on_removed = on_removed
        self._clients: dict[tuple[ClientTransport, TransportAddress], dict[TransportAddress, Allocation]] = {}
        self._expiries: ExpiryWheel[_Key] = ExpiryWheel()
        self._by_ticket: dict[bytes, Allocation] = {}
        self._detached: set[Allocation] = set()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Allocation]:
        # Copies: metrics are read from another thread.
        for clients in list(self._clients.values()):
            yield from list(clients.values())
        yield from list(self._detached)

    def clients_of(self, transport: ClientTransport, server: TransportAddress) -> dict[TransportAddress, Allocation]:
        """Return the live dict of the clients of one listener, to read and not to change.

        Args:
            transport: What the listener speaks.
            server: The listener's address.
        """
        return self._clients.setdefault((transport, server), {})

    def count(self, transport: ClientTransport) -> int:
        """How many allocations belong to clients of a transport."""
        return sum(len(clients) for (kind, _), clients in self._clients.items() if kind is transport)

    def find(self, five_tuple: FiveTuple) -> Allocation | None:
        """Find the allocation of a five-tuple."""
        return self.clients_of(five_tuple.transport, five_tuple.server).get(five_tuple.client)

    def find_by_ticket(self, ticket: bytes) -> Allocation | None:
        """Find the allocation that a ticket moves."""
        return self._by_ticket.get(ticket)

    def issue_ticket(self, allocation: Allocation, ticket: bytes) -> None:
        """Let a ticket move an allocation from now on; the one before moves it no more.

        Args:
            allocation: Whose ticket.
            ticket: Nobody can guess it.

        Source: RFC 8016 section 3.
        """
        self._by_ticket.pop(allocation.ticket, None)
        allocation.ticket = ticket
        self._by_ticket[ticket] = allocation

    def move(self, allocation: Allocation, five_tuple: FiveTuple, leg: ClientLeg) -> None:
        """Let an allocation belong to another five-tuple, with all its permissions and channels.

        Args:
            allocation: One with a ticket.
            five_tuple: Where its client is now; without an allocation.
            leg: The way there.

        Source: RFC 8016 section 3.2.
        """
        size = len(allocation.sockets)
        self._detach(allocation)
        self._quotas.remove(allocation.quota_owner, allocation.five_tuple.client.host, size)
        self._rates.leave(allocation.rates)
        allocation.leg.end()
        allocation.five_tuple, allocation.leg = five_tuple, leg
        self._quotas.add(allocation.quota_owner, five_tuple.client.host, size)
        allocation.rates = self._rates.join(allocation.quota_owner, five_tuple.client.host)
        self.clients_of(five_tuple.transport, five_tuple.server)[five_tuple.client] = allocation

    def lose_client(self, allocation: Allocation, until: float) -> None:
        """Keep an allocation without a five-tuple, for its client to come back with the ticket.

        Args:
            allocation: One with a ticket, whose connection has ended.
            until: Monotonic instant at which it ends if nobody comes.
        """
        self._detach(allocation)
        self._detached.add(allocation)
        if until < allocation.expires_at:
            self.refresh(allocation, until)

    def _detach(self, allocation: Allocation) -> None:
        if allocation in self._detached:
            self._detached.remove(allocation)
            return
        five_tuple = allocation.five_tuple
        del self.clients_of(five_tuple.transport, five_tuple.server)[five_tuple.client]

    def add(self, allocation: Allocation, expires_at: float) -> None:
        """Take in a new allocation.

        Args:
            allocation: Its five-tuple must be free.
            expires_at: Monotonic instant at which it ends unless refreshed.
        """
        five_tuple = allocation.five_tuple
        clients = self.clients_of(five_tuple.transport, five_tuple.server)
        assert five_tuple.client not in clients
        clients[five_tuple.client] = allocation
        for socket in allocation.sockets.values():
            self._neighbourhood.by_relayed_address[socket.relayed_address] = allocation
        self._quotas.add(allocation.quota_owner, five_tuple.client.host, len(allocation.sockets))
        self._counters.allocations_created += 1
        self._size += 1
        self.refresh(allocation, expires_at)

    def refresh(self, allocation: Allocation, expires_at: float) -> None:
        """Let an allocation end at another instant."""
        allocation.expires_at = expires_at
        self._expiries.schedule(allocation, expires_at)

    def remove(self, allocation: Allocation, reason: EndReason, now: float) -> None:
        """End an allocation with all that belongs to it."""
        for host in allocation.permissions:
            self._expiries.cancel(_PermissionKey(allocation, host))
        for number in allocation.channels:
            self._expiries.cancel(_ChannelKey(allocation, number))
        self._expiries.cancel(allocation)
        allocation.permissions.clear()
        allocation.channels.clear()
        allocation.channel_of_peer.clear()
        five_tuple = allocation.five_tuple
        self._detach(allocation)
        self._by_ticket.pop(allocation.ticket, None)
        self._quotas.remove(allocation.quota_owner, five_tuple.client.host, len(allocation.sockets))
        self._rates.leave(allocation.rates)
        for socket in allocation.sockets.values():
            del self._neighbourhood.by_relayed_address[socket.relayed_address]
            self._release(socket, now)
        allocation.sockets.clear()
        allocation.leg.end()
        self._counters.allocations_ended[reason.value] += 1
        self._size -= 1
        self._on_removed(allocation, reason)

    def remove_family(self, allocation: Allocation, is_ipv6: bool, now: float) -> None:
        """Give up one of an allocation's two relayed addresses, with the permissions and channels of its family.

        Args:
            allocation: One with two relayed addresses.
            is_ipv6: The family to give up.
            now: Monotonic instant in seconds.

        Source: RFC 8656 section 8.2.
        """
        for channel in [c for c in allocation.channels.values() if c.peer.is_ipv6 == is_ipv6]:
            self._expiries.cancel(_ChannelKey(allocation, channel.number))
            self._unbind(allocation, channel)
        for host in [host for host in allocation.permissions if (":" in host) == is_ipv6]:
            self._expiries.cancel(_PermissionKey(allocation, host))
            del allocation.permissions[host]
        socket = allocation.sockets.pop(is_ipv6)
        self._quotas.remove(allocation.quota_owner, allocation.five_tuple.client.host)
        del self._neighbourhood.by_relayed_address[socket.relayed_address]
        self._release(socket, now)

    def permit(self, allocation: Allocation, host: str, now: float) -> None:
        """Install or refresh a permission.

        Args:
            allocation: Whose permission.
            host: The peer's host; ports do not matter.
            now: Monotonic instant in seconds.

        Source: RFC 8656 section 9.
        """
        if host not in allocation.permissions:
            for channel in allocation.channels.values():
                if channel.peer.host == host:
                    allocation.channel_of_peer[channel.peer] = channel
        allocation.permissions[host] = now + RELAY_PERMISSION_LIFETIME_S
        self._expiries.schedule(_PermissionKey(allocation, host), now + RELAY_PERMISSION_LIFETIME_S)

    def bind(self, allocation: Allocation, number: int, peer: TransportAddress, now: float) -> None:
        """Bind a channel or refresh its binding, and the peer's permission with it.

        Args:
            allocation: Whose channel; it has a relayed address of the peer's family.
            number: Free, or bound to this very peer.
            peer: Without a channel, or bound to this very number.
            now: Monotonic instant in seconds.

        Source: RFC 8656 section 12.2.
        """
        channel = allocation.channels.get(number)
        if channel is None:
            socket = allocation.sockets[peer.is_ipv6]
            channel = Channel(number, peer, socket, allocation.is_neighbour(peer.host))
            allocation.channels[number] = channel
        self.permit(allocation, peer.host, now)
        allocation.channel_of_peer[peer] = channel
        self._expiries.schedule(_ChannelKey(allocation, number), now + RELAY_CHANNEL_LIFETIME_S)

    def revoke(self, allocation: Allocation, host: str) -> None:
        """Take a permission away, and the channels of its peers."""
        self._expiries.cancel(_PermissionKey(allocation, host))
        self._forbid(allocation, host)
        for channel in [channel for channel in allocation.channels.values() if channel.peer.host == host]:
            self._expiries.cancel(_ChannelKey(allocation, channel.number))
            self._unbind(allocation, channel)

    def next_at(self) -> float | None:
        """When ``expire`` has something to do next, as a monotonic instant, or None."""
        return self._expiries.next_at()

    def expire(self, now: float) -> None:
        """End what was not refreshed in time.

        Args:
            now: Monotonic instant in seconds.
        """
        for key in self._expiries.pop_due(now):
            if isinstance(key, Allocation):
                self.remove(key, EndReason.EXPIRED, now)
            elif isinstance(key, _PermissionKey):
                self._forbid(key.allocation, key.host)
            elif key.number in key.allocation.channels:
                self._unbind(key.allocation, key.allocation.channels[key.number])

    def _forbid(self, allocation: Allocation, host: str) -> None:
        if allocation.permissions.pop(host, None) is None:
            return  # the allocation itself ended in the same step
        for peer in [peer for peer in allocation.channel_of_peer if peer.host == host]:
            del allocation.channel_of_peer[peer]

    def _unbind(self, allocation: Allocation, channel: Channel) -> None:
        del allocation.channels[channel.number]
        allocation.channel_of_peer.pop(channel.peer, None)
