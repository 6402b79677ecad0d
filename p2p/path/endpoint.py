"""All bases of this process, and who gets what arrives on them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from p2p.address import TransportAddress
from p2p.aio.udp import UdpSocket
from p2p.aio.udp_options import CAN_FORBID_FRAGMENTS
from p2p.defaults import CHECKS_UNPROVEN_BURST, CHECKS_UNPROVEN_PER_S, PATH_WIDER_BYTES
from p2p.path.asked import AskedChecks
from p2p.path.base import Base, SocketBase
from p2p.path.demux import Buffer, is_direct_signalling, is_piece, is_quic, is_stun, runs
from p2p.path.pieces import PieceJoiner
from p2p.proto.token_bucket import TokenBucket


class Sink(Protocol):
    """Who gets what arrives. Called on the event loop; must not block and must not raise."""

    def stun_received(self, data: bytes, base_id: int, source: TransportAddress, now: float) -> None:
        """Take one STUN message."""
        ...

    def quic_received(
        self, buffer: bytes, segment_size: int, base_id: int, source: TransportAddress, now: float
    ) -> None:
        """Take QUIC datagrams of one source: ``segment_size`` bytes each but the last."""
        ...

    def drained(self, now: float) -> None:
        """All that waited has been handed over: answer now."""
        ...


class BatchReceiver(Protocol):
    """Who takes everything from one remote address of one socket: an allocation, from its relay."""

    def receive_batch(self, buffer: bytes, segment_size: int, now: float) -> None:
        """Take datagrams of ``segment_size`` bytes each but the last."""
        ...


@dataclass(slots=True)
class EndpointStats:
    """What arrived and could not be used, and the checks of all sessions."""

    dropped_unknown_protocol: int = 0
    checks: int = 0
    """Connectivity checks to addresses that have not answered."""
    heartbeats: int = 0
    """Checks on paths that have answered."""
    guesses: int = 0
    """Checks to ports that were guessed."""


class Endpoint:
    """Owns sockets and relay bases by their ids; sorts what arrives into STUN and QUIC.

    Concurrency: one event loop; no task. ``close`` closes every base.

    Args:
        loop: The event loop.
        sink: Who gets what arrives.

    Attributes:
        stats: What could not be used, and what was sent to find paths.
        asked: Which session's check an answer is for.
        check_budget: What the sessions on it may send to addresses that have not answered. A peer names the addresses
            that we check; whoever holds a ticket could name a stranger's in every offer, and the checks of many
            sessions together would be a flood. Checks on paths that have answered are heartbeats, and cost nothing.
        pieces: Halves of packets that wait for the other one.
        wider_bytes: What paths may be tried for beyond what all must carry, in bytes.
        direct_signalling: Who takes signalling from peer to peer that arrives on the sockets of all sessions.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, sink: Sink) -> None:
        self.stats = EndpointStats()
        self.asked = AskedChecks()
        self.pieces = PieceJoiner()
        self.check_budget = TokenBucket(CHECKS_UNPROVEN_PER_S, CHECKS_UNPROVEN_BURST)
        self.direct_signalling: Callable[[bytes, TransportAddress, float], object] | None = None
        self.wider_bytes = PATH_WIDER_BYTES if CAN_FORBID_FRAGMENTS else ()
        self._loop = loop
        self._sink = sink
        self._bases: dict[int, Base] = {}
        self._next_base_id = 0
        self._receivers: dict[tuple[int, TransportAddress], BatchReceiver] = {}

    @property
    def bases(self) -> Mapping[int, Base]:
        """The open bases by id."""
        return self._bases

    @property
    def sockets(self) -> tuple[SocketBase, ...]:
        """The bases that are sockets for all sessions, in the order they were opened."""
        return tuple(base for base in self._bases.values() if isinstance(base, SocketBase) and not base.is_spare)

    def open_socket(self, local: TransportAddress, *, is_spare: bool = False) -> SocketBase:
        """Bind a UDP socket.

        Args:
            local: Where; port 0 lets the system choose.
            is_spare: Whether one session uses it alone, and closes it.

        Raises:
            ConnectivityError: The address cannot be bound.
        """
        base_id = self.new_base_id()
        udp = UdpSocket(
            self._loop,
            local,
            on_batch=partial(self._batch_received, base_id),
            on_drained=self._sink.drained,
            # A padded check shows what a path carries only if nobody cuts it up on the way.
            dont_fragment=True,
        )
        base = SocketBase(base_id, udp, is_spare=is_spare)
        self._bases[base_id] = base
        return base

    def new_base_id(self) -> int:
        """Take an id for a base that will be added."""
        self._next_base_id += 1
        return self._next_base_id

    def add(self, base: Base) -> None:
        """Make a base known by its id."""
        self._bases[base.base_id] = base

    def remove(self, base_id: int) -> None:
        """Forget a base and close it; an unknown id is ignored."""
        base = self._bases.pop(base_id, None)
        if base is not None:
            base.close()

    def divert(self, base_id: int, source: TransportAddress, receiver: BatchReceiver | None) -> None:
        """Hand all that a socket gets from one address to a receiver, or, with None, no longer.

        Args:
            base_id: The socket.
            source: The remote address, such as a relay's.
            receiver: Who takes it.
        """
        if receiver is None:
            self._receivers.pop((base_id, source), None)
        else:
            self._receivers[base_id, source] = receiver

    def deliver(self, buffer: bytes, segment_size: int, base_id: int, source: TransportAddress, now: float) -> None:
        """Sort datagrams that arrived at a base from a peer.

        Args:
            buffer: Datagrams one behind the other, not empty.
            segment_size: The size of each but the last.
            base_id: Where they arrived.
            source: Who sent them.
            now: When.
        """
        for part, is_quic_run in runs(buffer, segment_size):
            if is_quic_run:
                self._sink.quic_received(_as_bytes(part), segment_size, base_id, source, now)
            elif is_stun(part[0]):
                self._sink.stun_received(_as_bytes(part), base_id, source, now)
            elif is_piece(part[0]):
                packet = self.pieces.join(_as_bytes(part), base_id, source)
                if packet is not None and is_quic(packet[0]):
                    self._sink.quic_received(packet, len(packet), base_id, source, now)
            elif is_direct_signalling(part[0]) and self.direct_signalling is not None and self._is_shared(base_id):
                self.direct_signalling(_as_bytes(part), source, now)
            else:
                self.stats.dropped_unknown_protocol += 1

    def send_from_socket(self, datagram: bytes, destination: TransportAddress) -> None:
        """Send a datagram from the socket of its address family that all sessions share; without one it is lost."""
        for base in self.sockets:
            if base.local_address.is_ipv6 is destination.is_ipv6:
                base.send((datagram,), destination)
                return

    def drained(self, now: float) -> None:
        """Pass on that a base has handed over all it had."""
        self._sink.drained(now)

    def close(self) -> None:
        """Close every base. A second call does nothing."""
        for base_id in list(self._bases):
            self.remove(base_id)
        self._receivers.clear()

    def _is_shared(self, base_id: int) -> bool:
        base = self._bases.get(base_id)
        return isinstance(base, SocketBase) and not base.is_spare

    def _batch_received(
        self, base_id: int, buffer: bytes, segment_size: int, source: TransportAddress, now: float
    ) -> None:
        if self._receivers and (receiver := self._receivers.get((base_id, source))) is not None:
            receiver.receive_batch(buffer, segment_size, now)
        else:
            self.deliver(buffer, segment_size, base_id, source, now)


def _as_bytes(part: Buffer) -> bytes:
    return part if isinstance(part, bytes) else bytes(part)
