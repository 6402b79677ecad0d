"""Which flow may put bytes into QUIC next: deficit round robin, with a head start for flows that were quiet."""

from __future__ import annotations

from collections import deque
from typing import Protocol

from p2p import defaults
from p2p.forward.transport import StreamTransport


class Feedable(Protocol):
    """What the feeder needs of a flow."""

    deficit: int
    """Bytes left of its turn; kept here so that an idle flow costs no entry in a table."""

    parked: bool
    """Whether the flow neither waits for its turn nor is watched; ``Feeder.resume`` takes it back."""

    @property
    def can_feed(self) -> bool:
        """Whether the flow is open in this direction and has credit."""
        ...

    def feed(self, limit: int) -> int:
        """Move up to ``limit`` bytes from the local connection into QUIC.

        Returns:
            How many were moved; fewer than the limit means that there is no more for now.
        """
        ...

    def watch(self, enabled: bool) -> None:
        """Have, or stop having, ``Feeder.ready`` called when the local connection is readable."""
        ...


class Feeder:
    """Reads from local connections no faster than QUIC sends, one flow at a time.

    QUIC engines are fast when one stream has much to send and slow when many have a little, so a flow feeds a whole
    quantum before the next one has its turn, and that comes when the engine has all but sent it. Everything else waits
    in the local connections, where backpressure reaches the program that writes. A flow that was quiet goes first,
    once, and need not wait for the engine: a keystroke does not wait for sixteen downloads.

    The engine has at most two quanta to send at any time.

    Args:
        transport: The QUIC connection.
        quantum_bytes: The size of a turn.
        low_bytes: When the engine has less than this to send, the next busy flow has its turn.

    Source: RFC 8290 section 4.2 for the two lists, without its queue management: the local kernel holds the bytes.
    """

    __slots__ = ("_busy", "_fresh", "_low", "_quantum", "_transport")

    def __init__(
        self,
        transport: StreamTransport,
        quantum_bytes: int = defaults.TUNNEL_QUANTUM_BYTES,
        low_bytes: int = defaults.TUNNEL_FEED_BELOW_BYTES,
    ) -> None:
        self._transport = transport
        self._quantum = quantum_bytes
        self._low = low_bytes
        self._fresh: deque[Feedable] = deque()
        self._busy: deque[Feedable] = deque()

    def ready(self, flow: Feedable) -> None:
        """Take note that a flow that waited for its local connection has something to read."""
        if self._transport.is_closed:
            flow.watch(False)
        elif self._fresh or self._busy or self._transport.unsent_bytes() >= self._quantum:
            flow.watch(False)
            flow.deficit = self._quantum
            self._fresh.append(flow)
            self._transport.kick()
        else:
            # To the very end: uvloop calls back once, and never again, for a connection with both data and an error.
            left = self._quantum
            while left and (moved := flow.feed(left)):
                left -= moved
            flow.deficit = 0
            self._transport.kick()
            if not left:
                flow.watch(False)
                self._busy.append(flow)
            elif not flow.can_feed:
                flow.watch(False)
                flow.parked = True

    def resume(self, flow: Feedable) -> None:
        """Take a parked flow back that ran out of credit and has some now."""
        flow.parked = False
        self._busy.append(flow)
        self._transport.kick()

    def pull(self) -> bool:
        """Feed until the engine has enough to send or no flow has anything left.

        Returns:
            Whether anything may have been queued.
        """
        fresh, busy, quantum = self._fresh, self._busy, self._quantum
        unsent_bytes = self._transport.unsent_bytes
        moved_any = False
        while (queue := fresh or busy) and unsent_bytes() < (quantum if queue is fresh else self._low):
            flow = queue[0]
            if flow.deficit <= 0:
                flow.deficit += quantum
                queue.popleft()
                busy.append(flow)
                continue
            limit = flow.deficit
            moved = flow.feed(limit)
            flow.deficit -= moved
            moved_any = moved_any or moved > 0
            if moved == limit:
                continue
            queue.popleft()
            if not flow.can_feed:
                flow.parked = True
                moved_any = True  # it may have queued its end
            elif moved and busy:
                # Once round before it may be fresh again, or whoever has a little at each turn would always go first.
                flow.deficit = quantum
                busy.append(flow)
            else:
                flow.watch(True)
        return moved_any
