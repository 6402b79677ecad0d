"""What the workers of one relay have in common: sockets that their parent holds, so that a restart moves nobody."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from p2p.address import TransportAddress


@dataclass(frozen=True, kw_only=True, slots=True)
class PortParts:
    """Which worker has which relayed ports: parts of one range, of one size but for the last.

    Attributes:
        first: The lowest port of all.
        last: The highest port of all, itself included.
        count: How many parts there are.
    """

    first: int
    last: int
    count: int

    def part(self, index: int) -> tuple[int, int]:
        """Return the lowest and the highest port of a worker."""
        first = self.first + index * self._size
        return first, self.last if index == self.count - 1 else first + self._size - 1

    def owner_of(self, port: int) -> int | None:
        """Return the worker that a port belongs to, or None."""
        if not self.first <= port <= self.last:
            return None
        return min((port - self.first) // self._size, self.count - 1)

    @property
    def _size(self) -> int:
        size = (self.last - self.first + 1) // self.count
        return size - size % 2  # even ports and the odd ones above them stay together


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """One worker's view of what all of them have.

    Attributes:
        index: This worker's number, from 0.
        ports: Which worker has which relayed ports.
        udp: For each UDP listener's address, a socket of each worker. The kernel chooses one by the client's address,
            and keeps to it as long as the sockets exist.
        tcp: For each TCP and TLS listener's address, the socket that all of them accept from.
        mailboxes: For each worker, the socket it reads and the one that the others write to.
    """

    index: int
    ports: PortParts
    udp: Mapping[TransportAddress, Sequence[socket.socket]] = field(default_factory=dict)
    tcp: Mapping[TransportAddress, socket.socket] = field(default_factory=dict)
    mailboxes: Sequence[tuple[socket.socket, socket.socket]] = ()

    def udp_of(self, address: TransportAddress) -> Sequence[socket.socket]:
        """Return the sockets of all workers at a listener's address, this one's first."""
        sockets, index = self.udp[address], self.index
        return (sockets[index], *sockets[:index], *sockets[index + 1 :])
