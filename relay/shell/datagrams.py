"""Clients over UDP."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from p2p.address import TransportAddress
from p2p.aio.udp_options import bind
from p2p.defaults import SOCKET_BUFFER_BYTES
from p2p.proto.stun.message import is_stun
from relay.core.allocation import Allocation
from relay.core.counters import Drop
from relay.core.five_tuple import ClientTransport, FiveTuple
from relay.core.strangers import StrangerLimit
from relay.shell.arena import Batch
from relay.shell.binding import BindingService, is_binding_request
from relay.shell.channel_data import FIRST_CHANNEL_BYTE, LAST_CHANNEL_BYTE, ChannelDataCutter
from relay.shell.client_sockets import ClientSockets
from relay.shell.control import Control
from relay.shell.legs import DatagramLeg
from relay.shell.plane import DataPlane, DataSocket
from relay.shell.runs import Run, runs_of


class DatagramListener(DataSocket):
    """One UDP port that clients talk to.

    ChannelData of a known client goes straight to its peer's socket: no message codec, no task, and one system call
    for all that arrived together on one channel.

    Args:
        plane: The data plane.
        address: Where to listen.
        control: Where messages go.
        strangers: What addresses without a proof may get.
        binding_service: Answers Binding requests, if given.
        shared: Sockets that are bound to the address already, the first for this listener; the others are other
            processes' and get other clients.

    Raises:
        ConnectivityError: The address cannot be bound.
    """

    def __init__(
        self,
        plane: DataPlane,
        address: TransportAddress,
        *,
        control: Control,
        strangers: StrangerLimit,
        binding_service: BindingService | None,
        shared: Sequence[socket.socket] = (),
    ) -> None:
        sock = shared[0] if shared else bind(address)
        super().__init__(plane, sock, buffer_bytes=SOCKET_BUFFER_BYTES, batch=plane.arena.slots, batch_bytes=None)
        self.address = self.local_address
        self._control = control
        self._counters = plane.counters
        self._strangers = strangers
        self._binding_service = binding_service
        self._clients = control.server.table.clients_of(ClientTransport.UDP, self.address)
        self._cutter = ChannelDataCutter(plane.arena, plane.counters, self._on_other_of_client)
        self._client_sockets = ClientSockets(plane, sock, self, others=shared[1:])
        self.watch()

    def send(self, data: bytes, destination: TransportAddress) -> None:
        """Send an answer of the binding service, as far as the limit for strangers allows."""
        if self.is_closed:
            return
        if self._strangers.may_send(destination, len(data), self.plane.loop.time()):
            self.sender.send(data, destination)
        else:
            self._counters.drops[Drop.UNAUTHENTICATED_LIMIT] += 1

    def close(self) -> None:
        """Close the socket, and those of its clients."""
        self._client_sockets.close()
        super().close()

    # --- what arrives --------------------------------------------------------------------------------------

    def take_one(self, length: int, size: int, source: TransportAddress) -> None:
        """Take the message in slot 0."""
        allocation = self._clients.get(source)
        if allocation is None:
            self._take_from_stranger((0,), length, size, source)
        else:
            self._cutter.take_one(allocation, length, size)
            self._client_sockets.note(allocation)

    def take_batch(self, batch: Batch) -> None:
        """Take messages of any clients."""
        arena = self.arena
        for run in runs_of(batch, arena.keys(batch, is_ipv6=self._is_ipv6), arena.heads(batch)):
            assert run.key is not None
            self._take_run(run, arena.address_of(run.key))

    def take_batch_of(self, client: TransportAddress, batch: Batch) -> None:
        """Take messages of one client."""
        for run in runs_of(batch, None, self.arena.heads(batch)):
            self._take_run(run, client)

    def _take_run(self, run: Run, source: TransportAddress) -> None:
        allocation = self._clients.get(source)
        if allocation is None:
            self._take_from_stranger(run.slots, run.length, run.size or run.length, source)
        else:
            self._cutter.take(allocation, run)
            self._client_sockets.note(allocation)

    def _take_from_stranger(self, slots: Sequence[int], length: int, size: int, source: TransportAddress) -> None:
        view = self.arena.slot_view
        for slot in slots:
            for at in range(0, length, size or 1):  # an empty datagram has no size
                self._on_other(bytes(view(slot, at, min(at + size, length))), source)

    def _on_other_of_client(self, data: bytes, allocation: Allocation) -> None:
        self._on_other(data, allocation.five_tuple.client)

    def _on_other(self, data: bytes, source: TransportAddress) -> None:
        """Take what is no ChannelData of a known client."""
        service = self._binding_service
        if service is not None and is_binding_request(data) and service.handle(data, source, self.address):
            self._strangers.received(source, len(data), self.plane.loop.time())
            return
        if not is_stun(data):
            is_channel_data = FIRST_CHANNEL_BYTE <= data[0] <= LAST_CHANNEL_BYTE
            self._counters.drops[Drop.NO_ALLOCATION if is_channel_data else Drop.MALFORMED] += 1
            return
        # An allocation keeps its leg; who has none gets one that an Allocate request may keep.
        allocation = self._clients.get(source)
        leg = allocation.leg if allocation is not None else DatagramLeg(self.sender, source)
        answer = self._control.receive(data, FiveTuple(ClientTransport.UDP, source, self.address), leg)
        if answer is not None:
            self.sender.send(answer, source)
