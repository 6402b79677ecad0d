"""The way back to a client over UDP."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from p2p.address import TransportAddress
from relay.core.allocation import Payload
from relay.shell.channel_data import HEADER, HEADER_BYTES
from relay.shell.sending import RunSender


class DatagramLeg:
    """The way back to one client: over the listener's socket, or over one of the client's own.

    Attributes:
        client: The client's address.
        on_end: Called when the client's allocation is gone; None as long as it has no socket of its own.
        mark: Packets that its allocation had relayed at ``marked_at``, a monotonic instant.

    Args:
        sender: The listener's.
        client: The client's address.
    """

    __slots__ = ("_destination", "_sender", "client", "mark", "marked_at", "on_end")

    def __init__(self, sender: RunSender, client: TransportAddress) -> None:
        self.client = client
        self.on_end: Callable[[], None] | None = None
        self.mark = 0
        self.marked_at = 0.0
        self._sender = sender
        self._destination: TransportAddress | None = client

    def use(self, sender: RunSender, on_end: Callable[[], None]) -> None:
        """Send through a socket that is connected to the client from now on."""
        self._sender, self._destination, self.on_end = sender, None, on_end

    def send_message(self, data: bytes) -> None:
        """Send one STUN message."""
        self._sender.send(data, self._destination)

    def send_channel_data(self, number: int, payloads: Sequence[Payload]) -> None:
        """Send a run as ChannelData, without padding, which datagrams need not have."""
        size, count = len(payloads[0]), len(payloads)
        header = HEADER.pack(number, size)
        if count == 1:
            self._sender.send_run((header, payloads[0]), 2, size + HEADER_BYTES, self._destination)
            return
        parts: list[Payload] = [header] * (2 * count)
        parts[1::2] = payloads
        last = len(payloads[-1])
        if last != size:
            parts[-2] = HEADER.pack(number, last)
        self._sender.send_run(parts, 2, size + HEADER_BYTES, self._destination)

    def end(self) -> None:
        """Give up what belongs to the allocation, which has ended or moved to another client address."""
        if self.on_end is not None:
            self.on_end()
            self.on_end = None
