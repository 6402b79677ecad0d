"""Gives the core a clock and a timer, and the listeners one place to bring messages to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from p2p.address import TransportAddress
from relay.core.allocation import Allocation, ClientLeg
from relay.core.five_tuple import FiveTuple
from relay.core.peer_connections import PeerStream
from relay.core.server import TurnServer


class Control:
    """Drives a ``TurnServer`` on an event loop.

    Concurrency: one event loop, no task; it holds one timer of the loop, which ``close`` cancels.

    Args:
        loop: The event loop, whose ``time()`` is the core's ``now``.
        server: The core.
        wall_clock: Unix time in seconds.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, server: TurnServer, *, wall_clock: Callable[[], float]) -> None:
        self.server = server
        self.counters = server.counters
        self._loop = loop
        self._wall_clock = wall_clock
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False

    def receive(self, data: bytes, five_tuple: FiveTuple, leg: ClientLeg) -> bytes | None:
        """Take one STUN message of a client.

        Args:
            data: One whole message.
            five_tuple: Where it came from.
            leg: The way back.

        Returns:
            The answer for the sender, if there is one.
        """
        if self._is_closed:
            return None
        answer = self.server.receive(data, five_tuple, leg, self._loop.time(), self._wall_clock())
        if answer is not None:
            self._set_timer()
        return answer

    @property
    def now_wall(self) -> float:
        """Unix time in seconds."""
        return self._wall_clock()

    def disconnect(self, five_tuple: FiveTuple) -> None:
        """End the allocation of a client whose connection is gone."""
        if not self._is_closed:
            self.server.disconnect(five_tuple, self._loop.time())
            self._set_timer()

    # --- TCP to peers --------------------------------------------------------------------------------------

    def peer_connected(self, number: int, stream: PeerStream) -> None:
        """A connection that a client wanted is made."""
        self.server.tcp.peer_connected(number, stream, self._loop.time())
        self._set_timer()

    def peer_failed(self, number: int) -> None:
        """It cannot be made."""
        self.server.tcp.peer_failed(number)

    def peer_arrived(self, allocation: Allocation, peer: TransportAddress, stream: PeerStream) -> None:
        """A peer has connected to a relayed address."""
        self.server.tcp.peer_arrived(allocation, peer, stream, self._loop.time())
        self._set_timer()

    def close(self) -> None:
        """End all allocations."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.server.close(self._loop.time())

    def _set_timer(self) -> None:
        at = self.server.get_timer()
        if self._timer is not None:
            # A timer that is too early finds nothing to do and is set anew: cheaper than moving it at each refresh.
            if at is None or self._timer.when() <= at:
                return
            self._timer.cancel()
        self._timer = None if at is None else self._loop.call_at(at, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.server.handle_timer(self._loop.time())
        self._set_timer()
