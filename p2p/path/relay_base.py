"""A base that is an allocation on a relay, whatever carries the traffic to the relay."""

from __future__ import annotations

import asyncio
import logging
import struct
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

from p2p.address import TransportAddress
from p2p.aio.driver import MachineDriver
from p2p.defaults import RELAY_RELEASE_WAIT_S
from p2p.errors import LocalProtocolError, RelayError
from p2p.path.endpoint import Endpoint
from p2p.proto.ice.candidate import RelayProtocol
from p2p.proto.turn.channel_data import HEADER_BYTES, is_channel_data
from p2p.proto.turn.client import AllocationClient
from p2p.proto.turn.events import (
    AllocationClosed,
    AllocationCreated,
    AllocationEvent,
    AllocationExpired,
    AllocationFailed,
    PeerData,
)

logger = logging.getLogger(__name__)

_CHANNEL_HEADER = struct.Struct("!HH")


class RelayCarrier(Protocol):
    """What takes messages to the relay: a shared UDP socket, or a byte stream of its own."""

    @property
    def protocol(self) -> RelayProtocol:
        """What it speaks to the relay."""
        ...

    @property
    def socket_base_id(self) -> int | None:
        """The socket it shares; None when it has a connection of its own."""
        ...

    def send(self, messages: Sequence[bytes]) -> int:
        """Send whole messages; returns how many were taken."""
        ...

    def call_when_writable(self, callback: Callable[[], object]) -> None:
        """Call back once, as soon as messages are taken again."""
        ...

    def close(self) -> None:
        """Release what belongs to the allocation alone."""
        ...


class RelayBase:
    """One allocation: datagrams for a peer go behind a channel header to the relay, and come back so.

    Concurrency: one event loop; no task.

    Args:
        loop: The event loop.
        endpoint: Who gets what peers send.
        base_id: The id of this base.
        client: The machine that keeps the allocation, not yet started.
        carrier: What takes messages to the relay.
        server: The relay's address.
        host: The relay's name, or its address where it has none.
        region: Where the relay is, in its operator's words.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        endpoint: Endpoint,
        base_id: int,
        client: AllocationClient,
        carrier: RelayCarrier,
        server: TransportAddress,
        *,
        host: str = "",
        region: str = "",
    ) -> None:
        self.base_id = base_id
        self.protocol = carrier.protocol
        self.socket_base_id = carrier.socket_base_id
        self.server = server
        self.host = host
        self.region = region
        self.mapped_address: TransportAddress | None = None
        self.on_lost: Callable[[RelayError], None] | None = None
        self._loop = loop
        self._endpoint = endpoint
        self._client = client
        self._carrier = carrier
        self._relayed_address: TransportAddress | None = None
        self._wanted: Counter[TransportAddress] = Counter()
        self._created: asyncio.Future[None] = loop.create_future()
        self._closed: asyncio.Future[None] = loop.create_future()
        self._driver: MachineDriver[AllocationEvent] = MachineDriver(
            loop, client, send=lambda data, _: carrier.send((data,)), on_event=self._event
        )

    @property
    def local_address(self) -> TransportAddress:
        """The relayed address; only after ``allocate``."""
        assert self._relayed_address is not None, "not allocated yet"
        return self._relayed_address

    @property
    def challenge(self) -> tuple[str, str] | None:
        """The realm and the nonce that the relay last gave us: good for our next allocation there, too."""
        return self._client.credentials.challenge

    @property
    def silent_s(self) -> float:
        """How long the relay has owed us an answer, in seconds; 0 when it owes none."""
        since = self._client.silent_since
        return 0.0 if since is None else self._loop.time() - since

    async def allocate(self) -> None:
        """Ask the relay for an address.

        Raises:
            RelayError: The relay refused or did not answer.
        """
        self._client.start(self._loop.time())
        self._driver.poke()
        await self._created

    def permit(self, peer: TransportAddress) -> None:
        """Let an address of a peer (any port of it) send to us through the relay, until as many calls of ``forbid``."""
        self._wanted[peer] += 1
        self._client.create_permission(peer, self._loop.time())
        self._driver.poke()

    def forbid(self, peer: TransportAddress) -> None:
        """Take one ``permit`` back; the relay forgets an address that nobody wants any more within minutes."""
        self._wanted[peer] -= 1
        if self._wanted[peer] <= 0:
            # The channel goes with it, if there is one.
            del self._wanted[peer]
            self._client.release(peer)

    def bind(self, peer: TransportAddress) -> None:
        """Use the short header for a peer that is permitted: worth it for all that carries more than checks."""
        try:
            self._client.bind_channel(peer, self._loop.time())
        except LocalProtocolError as error:
            # An allocation that lives for months meets more peers than there are numbers; the long header works too.
            logger.debug("no channel for %s: %s", peer, error)
            return
        self._driver.poke()

    def probe(self) -> None:
        """Ask the relay now whether the allocation is still there; ``on_lost`` tells if not."""
        self._client.refresh(self._loop.time())
        self._driver.poke()

    def send(self, datagrams: Sequence[bytes], destination: TransportAddress) -> int:
        """Send datagrams to a peer by way of the relay; see ``Base.send``."""
        wrap = self._client.send
        return self._carrier.send([wrap(destination, datagram) for datagram in datagrams])

    def call_when_writable(self, callback: Callable[[], object]) -> None:
        """Call back once, as soon as messages to the relay are taken again."""
        self._carrier.call_when_writable(callback)

    def receive_batch(self, buffer: bytes, segment_size: int, now: float) -> None:
        """Take datagrams from the relay: peer data and answers.

        Args:
            buffer: Messages one behind the other.
            segment_size: The size of each but the last.
            now: When they arrived.
        """
        size = len(buffer)
        if size > segment_size and self._receive_run(buffer, segment_size, now):
            return
        for start in range(0, size, segment_size):
            self._receive_message(buffer[start : start + segment_size], now)

    def _receive_run(self, buffer: bytes, segment_size: int, now: float) -> bool:
        """Unwrap a batch of one channel whose messages all fill their segment, in one go."""
        header = buffer[:HEADER_BYTES]
        channel, length = _CHANNEL_HEADER.unpack(header)
        peer = self._client.channel_peer(channel) if is_channel_data(header) else None
        if peer is None or length != segment_size - HEADER_BYTES:
            return False
        pieces = []
        for start in range(0, len(buffer), segment_size):
            piece = buffer[start : start + segment_size]
            if len(piece) < segment_size:
                header = _CHANNEL_HEADER.pack(channel, len(piece) - HEADER_BYTES)
            if not piece.startswith(header):
                return False
            pieces.append(piece[HEADER_BYTES:])
        self._endpoint.deliver(b"".join(pieces), length, self.base_id, peer, now)
        return True

    def _receive_message(self, message: bytes, now: float) -> None:
        if self._driver.receive(message, self.server, now):
            return
        # Not for the allocation: the relay's STUN side answers Binding requests from the same address.
        self._endpoint.deliver(message, len(message), self.base_id, self.server, now)

    async def release(self) -> None:
        """Give the address back to the relay, and close."""
        if self._relayed_address is not None and not self._closed.done():
            self._client.close(self._loop.time())
            self._driver.poke()
            await asyncio.wait((self._closed,), timeout=RELAY_RELEASE_WAIT_S)
        self.close()

    def close(self) -> None:
        """Close without a word to the relay; its side expires. A second call does nothing."""
        self._driver.close()
        self._carrier.close()
        if not self._created.done():
            self._created.cancel()

    def carrier_lost(self, error: RelayError) -> None:
        """The byte stream to the relay ended, and the allocation with it."""
        self._lost(error)

    def _event(self, event: AllocationEvent) -> None:
        match event:
            case PeerData(peer, data):
                if data:
                    self._endpoint.deliver(data, len(data), self.base_id, peer, self._loop.time())
            case AllocationCreated(relayed_address, mapped_address, _):
                self._relayed_address = relayed_address
                self.mapped_address = mapped_address
                if not self._created.done():
                    self._created.set_result(None)
            case AllocationFailed(error) | AllocationExpired(error):
                self._lost(error)
            case AllocationClosed():
                if not self._closed.done():
                    self._closed.set_result(None)

    def _lost(self, error: RelayError) -> None:
        if not self._created.done():
            self._created.set_exception(error)
        elif self.on_lost is not None:
            self.on_lost(error)
