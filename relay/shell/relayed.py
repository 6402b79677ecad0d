"""Relayed transport addresses as UDP sockets."""

from __future__ import annotations

import errno
from collections.abc import Sequence

from p2p.address import TransportAddress
from p2p.aio.icmp_errors import keep_icmp_errors, take_icmp_errors
from p2p.aio.udp_options import bind, path_mtu, whole_datagrams
from p2p.defaults import RELAY_ICMP_BURST, RELAY_ICMP_PER_S, RELAY_SOCKET_BUFFER_BYTES
from p2p.proto.token_bucket import TokenBucket
from relay.core.allocation import Allocation, Payload
from relay.core.counters import Drop
from relay.core.relayed_ports import RelayHost
from relay.shell.arena import Batch
from relay.shell.plane import DataPlane, DataSocket
from relay.shell.runs import payloads_of, runs_of, segments_of


class RelayedUdpSocket(DataSocket):
    """One relayed transport address.

    Args:
        plane: The data plane.
        host: Where to bind, and what peers see instead.
        port: The port to bind.

    Raises:
        ConnectivityError: The port is taken.
    """

    def __init__(self, plane: DataPlane, host: RelayHost, port: int) -> None:
        sock = bind(TransportAddress(host.bind_host, port))
        super().__init__(plane, sock, buffer_bytes=RELAY_SOCKET_BUFFER_BYTES)
        self.port = port
        self.relayed_address = TransportAddress(host.public_host, port)
        self._allocation: Allocation | None = None
        self._counters = plane.counters
        self._icmp_budget = TokenBucket(RELAY_ICMP_PER_S, RELAY_ICMP_BURST)
        keep_icmp_errors(sock)
        self.watch()

    def attach(self, allocation: Allocation) -> None:
        """Hand what arrives to an allocation from now on; until then it is dropped."""
        self._allocation = allocation

    def send(self, payloads: Sequence[Payload], peer: TransportAddress) -> None:
        """Send a run to a peer; what the kernel does not take is dropped and counted."""
        if len(payloads) == 1:
            self.sender.send(payloads[0], peer)
        else:
            self.sender.send_run(payloads, 1, len(payloads[0]), peer)

    def send_whole(self, payload: Payload, peer: TransportAddress) -> int | None:
        """Send one datagram that must not be fragmented; return what the path carries when this is more (bytes)."""
        with whole_datagrams(self.socket):
            for is_last in (False, True):
                try:
                    self.socket.sendto(payload, peer)
                except (BlockingIOError, InterruptedError):
                    self._counters.drops[Drop.SOCKET_BUFFER_FULL] += 1
                except OSError as error:
                    if not is_last:
                        continue  # news of an earlier datagram, perhaps, and taken off the socket by this
                    if error.errno == errno.EMSGSIZE:
                        return path_mtu(self.local_address, peer)
                    self._counters.drops[Drop.SEND_FAILED] += 1
                break
        return None

    def take_errors(self) -> None:
        """Tell the client what became of its data, as often as its budget allows."""
        for error in take_icmp_errors(self.socket):
            if self._allocation is not None and self._icmp_budget.take(self.plane.loop.time()):
                self._allocation.receive_icmp_error(error.destination, error.type, error.code, error.info)

    def close(self) -> None:
        """Close the socket and free the port."""
        self._allocation = None
        super().close()

    def take_one(self, length: int, size: int, source: TransportAddress) -> None:
        """Take the message in slot 0."""
        allocation = self._allocation
        if allocation is None:
            self._counters.drops[Drop.NO_ALLOCATION] += 1
        elif size < length:
            allocation.receive_from_peer(source, segments_of(self.arena, 0, length, size))
        else:
            allocation.receive_from_peer(source, (self.arena.view[:length],))

    def take_batch(self, batch: Batch) -> None:
        """Take messages of any peers."""
        arena = self.arena
        for run in runs_of(batch, arena.keys(batch, is_ipv6=self._is_ipv6), None):
            allocation = self._allocation
            if allocation is None:
                self._counters.drops[Drop.NO_ALLOCATION] += len(run.slots)
                continue
            assert run.key is not None
            if run.size:
                payloads = segments_of(arena, run.slots[0], run.length, run.size)
            else:
                payloads = payloads_of(arena, run.slots, 0, run.length)
            allocation.receive_from_peer(arena.address_of(run.key), payloads)
