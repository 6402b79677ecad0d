"""One client's allocation: its relayed addresses, its permissions and its channels.

    client --(leg)--> Allocation --(relayed sockets)--> peers

Who moves bytes in bulk may read ``channels`` and ``channel_of_peer`` directly: they are plain dicts that hold
nothing but what is valid at this moment, since what expires is taken out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from p2p.address import TransportAddress
from relay.core.counters import Drop, RelayCounters
from relay.core.credentials import LongTermKeys
from relay.core.five_tuple import FiveTuple
from relay.core.rates import RateGroup

Payload: TypeAlias = bytes | memoryview
"""One datagram. A memoryview is of memory that the next receive overwrites: send it, or copy it, before you return."""

CHANNEL_DATA_MAX_BYTES: Final = 0xFFFF
_INDICATION_MAX_BYTES_IPV4: Final = 0xFFFC - 16
_INDICATION_MAX_BYTES_IPV6: Final = 0xFFFC - 28
"""What the length field of a STUN message leaves for data beside the peer's address, in whole words."""


_ICMP_TYPES_TOLD: Final = ((3, 11), (1, 2, 3))
"""Destination unreachable, time exceeded; in IPv6 also packet too big. Source: RFC 8656 section 11.5."""
_TOO_BIG: Final = ((3, 4), (2, 0))
"""Type and code, in IPv4 and IPv6. Source: RFC 792, RFC 4443 section 3.2."""


class RelayedSocket(Protocol):
    """What a relayed transport address sends through. Implemented by the shell.

    Attributes:
        relayed_address: The address as peers see it.
        port: The port it is bound to on this host.
    """

    relayed_address: TransportAddress
    port: int

    def send(self, payloads: Sequence[Payload], peer: TransportAddress) -> None:
        """Send a run, of one size but for a shorter last one, to a peer; what fails is dropped and counted."""
        ...

    def send_whole(self, payload: Payload, peer: TransportAddress) -> int | None:
        """Send one datagram that must not be fragmented; return what the path carries when this is more (bytes)."""
        ...

    def attach(self, allocation: Allocation) -> None:
        """Hand what arrives to an allocation from now on; until then it is dropped."""
        ...

    def close(self) -> None:
        """Stop receiving and free the port."""
        ...


class RelayedTcp(RelayedSocket, Protocol):
    """A relayed transport address for TCP. Implemented by the shell."""

    def connect(self, peer: TransportAddress, number: int) -> None:
        """Begin to connect to a peer.

        Args:
            peer: Where to.
            number: Under which the server is told what became of it.
        """
        ...


class ClientLeg(Protocol):
    """The way back to one client. Implemented by the shell, once for datagrams and once for streams."""

    def send_message(self, data: bytes) -> None:
        """Send one STUN message; dropped and counted when the client's buffer is full."""
        ...

    def send_channel_data(self, number: int, payloads: Sequence[Payload]) -> None:
        """Send a run of payloads as ChannelData; dropped and counted when the client's buffer is full."""
        ...

    def end(self) -> None:
        """Give up what belongs to the allocation, which has ended or moved to another client address."""
        ...


class IndicationEncoder(Protocol):
    """Makes the messages that a client gets unasked."""

    def data(self, peer: TransportAddress, payload: Payload) -> bytes:
        """Encode what carries a peer's data to a client without a channel."""
        ...

    def icmp(self, peer: TransportAddress, icmp_type: int, code: int, mtu: int) -> bytes:
        """Encode what tells a client that its data has not reached a peer."""
        ...


@dataclass(frozen=True, slots=True)
class Channel:
    """A number that stands for a peer. Source: RFC 8656 section 12.

    Attributes:
        number: 0x4000 to 0x7FFF.
        peer: The peer's address.
        relayed: The relayed socket of the peer's address family.
        is_neighbour: Whether the peer's host is one of the relay's own, so that data must stay in this process.
    """

    number: int
    peer: TransportAddress
    relayed: RelayedSocket
    is_neighbour: bool


class Neighbourhood:
    """The relayed addresses of one relay, so that two of its allocations talk without leaving the process.

    Args:
        hosts: The hosts of all relayed addresses, as peers see them.
        may_leave_process: Whether data to these hosts that no allocation wants may go out by a socket all the same:
            only where peers live on the relay's own host, as on loopback in a test.

    Attributes:
        by_relayed_address: The allocations of this process.
        elsewhere: ``elsewhere(source, destination, run)`` hands data to another process of this relay, if one has the
            destination, and tells whether; None where there is no other.
    """

    def __init__(self, hosts: frozenset[str], *, may_leave_process: bool = False) -> None:
        self.hosts = hosts
        self.may_leave_process = may_leave_process
        self.by_relayed_address: dict[TransportAddress, Allocation] = {}
        self.elsewhere: Callable[[TransportAddress, TransportAddress, Sequence[Payload]], bool] | None = None


class Allocation:
    """What the relay keeps for one client. Source: RFC 8656 section 3.2.

    The table that made an allocation owns its lifetimes and is the only one to change its dicts.

    Attributes:
        five_tuple: The client it belongs to.
        owner: The user name that made it; all later requests must use it.
        quota_owner: Whom the quota is counted for.
        keys: The long-term keys of the owner.
        transaction_id: Of the Allocate request that made it, to know a retransmission.
        sockets: Its relayed sockets by address family: True is IPv6.
        is_tcp: Whether its relayed addresses are for TCP connections and not for datagrams.
        permissions: Peers' hosts that may send, and the monotonic instant at which that ends.
        channels: Channels by number.
        channel_of_peer: Channels by peer, while the peer's permission lasts.
        expires_at: When it ends, unless refreshed.
        rates: How fast it may relay.
        ticket: With it the client may move the allocation to another five-tuple; empty if it did not ask for one.
        created_response: The answer to the Allocate request, sent again for a retransmission.
        packets: Datagrams relayed in both directions.
        relayed_bytes: Their payload.
    """

    __slots__ = (
        "_counters",
        "_indications",
        "_neighbourhood",
        "channel_of_peer",
        "channels",
        "created_at",
        "created_response",
        "expires_at",
        "five_tuple",
        "is_tcp",
        "keys",
        "leg",
        "owner",
        "packets",
        "permissions",
        "quota_owner",
        "rates",
        "relayed_bytes",
        "sockets",
        "ticket",
        "transaction_id",
    )

    def __init__(
        self,
        *,
        five_tuple: FiveTuple,
        leg: ClientLeg,
        owner: str,
        quota_owner: str,
        keys: LongTermKeys,
        transaction_id: bytes,
        sockets: Mapping[bool, RelayedSocket],
        is_tcp: bool,
        neighbourhood: Neighbourhood,
        indications: IndicationEncoder,
        counters: RelayCounters,
        rates: RateGroup,
        created_at: float,
    ) -> None:
        self.five_tuple = five_tuple
        self.leg = leg
        self.owner = owner
        self.quota_owner = quota_owner
        self.keys = keys
        self.transaction_id = transaction_id
        self.sockets = dict(sockets)
        self.is_tcp = is_tcp
        self.permissions: dict[str, float] = {}
        self.channels: dict[int, Channel] = {}
        self.channel_of_peer: dict[TransportAddress, Channel] = {}
        self.created_at = created_at
        self.expires_at = created_at
        self.created_response = b""
        self.ticket = b""
        self.rates = rates
        self.packets = 0
        self.relayed_bytes = 0
        self._neighbourhood = neighbourhood
        self._indications = indications
        self._counters = counters

    def is_neighbour(self, host: str) -> bool:
        """Whether a peer's host is one of this relay's own."""
        return host in self._neighbourhood.hosts

    def send_on_channel(self, channel: Channel, payloads: Sequence[Payload]) -> None:
        """Relay what a client sent on a channel.

        Args:
            channel: One of ``channels``.
            payloads: A run, without the ChannelData headers: of one size, the last possibly shorter.
        """
        if self.rates.is_limited and not (payloads := self._within_rates(payloads)):
            return
        if channel.is_neighbour:
            self._send_to_neighbour(channel.relayed, channel.peer, payloads)
            return
        self._count_to_peer(payloads)
        channel.relayed.send(payloads, channel.peer)

    def send_to_peer(self, peer: TransportAddress, payload: Payload, *, whole: bool = False) -> None:
        """Relay what a client sent in a Send indication; the peer's permission is checked here.

        Args:
            peer: Where it goes.
            payload: What the client sent.
            whole: Whether it must not be fragmented; the client is told when it would have to be.

        Source: RFC 8656 sections 11.2 and 11.5.
        """
        relayed = self.sockets.get(peer.is_ipv6)
        if self.is_tcp:
            self._counters.drops[Drop.UNSUPPORTED] += 1
        elif relayed is None or peer.host not in self.permissions:
            self._counters.drops[Drop.NO_PERMISSION] += 1
        elif self.rates.is_limited and not self._within_rates((payload,)):
            return
        elif self.is_neighbour(peer.host):
            self._send_to_neighbour(relayed, peer, (payload,))
        elif not whole:
            self._count_to_peer((payload,))
            relayed.send((payload,), peer)
        elif (mtu := relayed.send_whole(payload, peer)) is None:
            self._count_to_peer((payload,))
        else:
            self._counters.drops[Drop.TOO_LONG] += 1
            self.leg.send_message(self._indications.icmp(peer, *_TOO_BIG[peer.is_ipv6], mtu))

    def receive_icmp_error(self, peer: TransportAddress, icmp_type: int, code: int, mtu: int) -> None:
        """Tell the client of an ICMP error for data of its own, if the peer has a permission.

        Args:
            peer: Where the data was going.
            icmp_type: Of the ICMP or ICMPv6 message.
            code: The same.
            mtu: What the path carries, where the error is about that.

        Source: RFC 8656 section 11.5.
        """
        if peer.host not in self.permissions or icmp_type not in _ICMP_TYPES_TOLD[peer.is_ipv6]:
            return
        if (icmp_type, code) != _TOO_BIG[peer.is_ipv6]:
            mtu = 0
        self.leg.send_message(self._indications.icmp(peer, icmp_type, code, mtu))

    def receive_from_peer(self, peer: TransportAddress, payloads: Sequence[Payload]) -> None:
        """Relay what arrived at a relayed address, if the peer may send.

        Args:
            peer: Where it came from.
            payloads: A run of datagrams, in order: of one size, the last possibly shorter.

        Source: RFC 8656 section 11.3.
        """
        counters = self._counters
        channel = self.channel_of_peer.get(peer)
        if channel is None and peer.host not in self.permissions:
            counters.drops[Drop.NO_PERMISSION] += len(payloads)
            return
        if self.rates.is_limited and not (payloads := self._within_rates(payloads)):
            return
        size = _bytes_of(payloads)
        self.packets += len(payloads)
        self.relayed_bytes += size
        counters.packets_to_clients += len(payloads)
        counters.bytes_to_clients += size
        if channel is not None:
            self.leg.send_channel_data(channel.number, payloads)
            return
        longest = _INDICATION_MAX_BYTES_IPV6 if peer.is_ipv6 else _INDICATION_MAX_BYTES_IPV4
        for payload in payloads:
            if len(payload) > longest:
                counters.drops[Drop.TOO_LONG] += 1
            else:
                self.leg.send_message(self._indications.data(peer, payload))

    def count_stream(self, size: int, *, to_peer: bool) -> None:
        """Count payload of a TCP connection with a peer.

        Args:
            size: In bytes.
            to_peer: Whether the client has sent it.
        """
        self.relayed_bytes += size
        if to_peer:
            self._counters.bytes_to_peers += size
        else:
            self._counters.bytes_to_clients += size

    def _send_to_neighbour(self, relayed: RelayedSocket, peer: TransportAddress, payloads: Sequence[Payload]) -> None:
        neighbour = self._neighbourhood.by_relayed_address.get(peer)
        if neighbour is not None and not neighbour.is_tcp:
            self._count_to_peer(payloads)
            neighbour.receive_from_peer(relayed.relayed_address, payloads)
        elif (elsewhere := self._neighbourhood.elsewhere) and elsewhere(relayed.relayed_address, peer, payloads):
            self._count_to_peer(payloads)
        elif self._neighbourhood.may_leave_process:
            self._count_to_peer(payloads)
            relayed.send(payloads, peer)
        else:
            self._counters.drops[Drop.FORBIDDEN_PEER] += len(payloads)

    def _within_rates(self, payloads: Sequence[Payload]) -> Sequence[Payload]:
        """Drop what is beyond the limits of this user, address or relay: the last ones, as a full queue would."""
        admitted = self.rates.take(payloads)
        if admitted == len(payloads):
            return payloads
        self._counters.drops[Drop.RATE_LIMIT] += len(payloads) - admitted
        return payloads[:admitted]

    def _count_to_peer(self, payloads: Sequence[Payload]) -> None:
        size = _bytes_of(payloads)
        self.packets += len(payloads)
        self.relayed_bytes += size
        self._counters.packets_to_peers += len(payloads)
        self._counters.bytes_to_peers += size


def _bytes_of(run: Sequence[Payload]) -> int:
    return len(run[0]) * (len(run) - 1) + len(run[-1])
