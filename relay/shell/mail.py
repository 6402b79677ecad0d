"""Data between allocations of two workers of one relay: it must not leave the host, nor reach anything else on it.

Wire format, one message for each run: index of the receiving host, its port, index of the sending host, its port, size
of the datagrams (all in the order of the network), then the datagrams, the last possibly shorter.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

from p2p.address import TransportAddress
from p2p.aio.udp_options import size_buffers
from p2p.defaults import RELAY_CLIENT_BATCH, SOCKET_BUFFER_BYTES, UDP_GSO_BYTES, UDP_RECEIVE_BYTES
from p2p.errors import DecodeError
from relay.core.allocation import Neighbourhood, Payload
from relay.core.counters import Drop
from relay.shell.plane import DataPlane
from relay.shell.share import Share

_HEADER: Final = struct.Struct("!BHBHH")
_MOST_PIECES: Final = 512
"""Datagrams in one message: half of what one system call takes as pieces."""


class Mailroom:
    """Hands runs to the worker that has the relayed address, and takes those that others hand to this one.

    Args:
        plane: The data plane.
        neighbourhood: The allocations of this worker; its ``elsewhere`` is set.
        share: What the workers have in common.
    """

    def __init__(self, plane: DataPlane, neighbourhood: Neighbourhood, share: Share) -> None:
        self._plane = plane
        self._neighbourhood = neighbourhood
        self._share = share
        self._hosts = sorted(neighbourhood.hosts)
        self._index_of_host = {host: index for index, host in enumerate(self._hosts)}
        self._socket = share.mailboxes[share.index][0]
        for both in share.mailboxes:
            for sock in both:
                sock.setblocking(False)
                size_buffers(sock, SOCKET_BUFFER_BYTES)
        neighbourhood.elsewhere = self.forward
        plane.poller.add(self._socket.fileno(), self.read)

    def forward(self, source: TransportAddress, destination: TransportAddress, payloads: Sequence[Payload]) -> bool:
        """Hand a run to another worker.

        Args:
            source: The relayed address that it comes from.
            destination: The relayed address that it goes to.
            payloads: The run.

        Returns:
            Whether another worker has that address.
        """
        owner = self._share.ports.owner_of(destination.port)
        if owner is None or owner == self._share.index:
            return False
        size = len(payloads[0])
        index_of = self._index_of_host
        header = _HEADER.pack(index_of[destination.host], destination.port, index_of[source.host], source.port, size)
        most = min(_MOST_PIECES, max(1, UDP_GSO_BYTES // max(size, 1)))
        for start in range(0, len(payloads), most):
            some = payloads[start : start + most]
            try:
                self._share.mailboxes[owner][1].sendmsg([header, *some])
            except OSError:  # that worker is too slow, or is being started again
                self._plane.counters.drops[Drop.SOCKET_BUFFER_FULL] += len(some)
        return True

    def read(self) -> None:
        """Take what others have handed over, some of it."""
        view = self._plane.arena.view[:UDP_RECEIVE_BYTES]
        for _ in range(RELAY_CLIENT_BATCH):
            try:
                length = self._socket.recv_into(view)
            except OSError:
                return
            try:
                source, destination, payloads = self._decode_untrusted(view[:length])
            except DecodeError:
                self._plane.counters.drops[Drop.MALFORMED] += 1
                continue
            allocation = self._neighbourhood.by_relayed_address.get(destination)
            if allocation is None:
                self._plane.counters.drops[Drop.FORBIDDEN_PEER] += len(payloads)
            else:
                allocation.receive_from_peer(source, payloads)

    def close(self) -> None:
        """Take nothing any longer; the sockets are the parent's."""
        self._neighbourhood.elsewhere = None
        self._plane.poller.remove(self._socket.fileno())

    def _decode_untrusted(self, data: memoryview) -> tuple[TransportAddress, TransportAddress, list[Payload]]:
        if len(data) < _HEADER.size:
            raise DecodeError("a message of another worker is too short")
        to_host, to_port, from_host, from_port, size = _HEADER.unpack_from(data)
        if max(to_host, from_host) >= len(self._hosts):
            raise DecodeError("a message of another worker names an unknown host")
        body = data[_HEADER.size :]
        # Of empty datagrams only one is left: nothing tells how many there were.
        payloads: list[Payload] = [body[at : at + size] for at in range(0, len(body), size)] if size else [body]
        if not payloads:
            raise DecodeError("a message of another worker has no datagram")
        source = TransportAddress(self._hosts[from_host], from_port)
        return source, TransportAddress(self._hosts[to_host], to_port), payloads
