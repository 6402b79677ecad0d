"""Which of the relay's many UDP sockets have something to read.

On Linux they are in an epoll set of their own, and the event loop watches only that: a wake-up of the loop then serves
all sockets that are ready, each once a round, so that none of them waits for a busy one to run dry.
"""

from __future__ import annotations

import asyncio
import select
import time
from collections.abc import Callable
from typing import Protocol

from p2p.aio.udp import CODE_LOOP
from p2p.defaults import (
    RELAY_POLL_BATCH,
    RELAY_POLL_DELAY_PACKETS_PER_S,
    RELAY_POLL_DELAY_S,
    RELAY_POLL_EVENTS,
    RELAY_POLL_TURN_S,
    UDP_RATE_INTERVAL_S,
)
from p2p.errors import ConnectivityError
from relay.shell.arena import ReceiveArena


class Poller(Protocol):
    """Calls back for sockets that have something to read.

    Attributes:
        round: Counts the rounds in which there was work at once after the last one; a gap means that there was a pause.
    """

    round: int

    def add(self, descriptor: int, callback: Callable[[], None]) -> None:
        """Watch a socket."""
        ...

    def remove(self, descriptor: int) -> None:
        """Watch it no longer; call this before it is closed."""
        ...

    def close(self) -> None:
        """Watch nothing any longer."""
        ...


def make_poller(loop: asyncio.AbstractEventLoop, arena: ReceiveArena) -> Poller:
    """Make the best poller of this system.

    Raises:
        ConnectivityError: The loop cannot watch sockets (P2P-4102).
    """
    return EpollPoller(loop, arena) if hasattr(select, "epoll") else LoopPoller(loop)


class LoopPoller:
    """Every socket is watched by the event loop itself: for systems without epoll."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.round = 0
        self._loop = loop
        self._descriptors: set[int] = set()

    def add(self, descriptor: int, callback: Callable[[], None]) -> None:
        """Watch a socket."""

        def on_readable() -> None:
            self.round += 1
            callback()

        try:
            self._loop.add_reader(descriptor, on_readable)
        except NotImplementedError as error:
            raise ConnectivityError("the event loop has no add_reader", code=CODE_LOOP) from error
        self._descriptors.add(descriptor)

    def remove(self, descriptor: int) -> None:
        """Watch it no longer."""
        if descriptor in self._descriptors:
            self._descriptors.remove(descriptor)
            self._loop.remove_reader(descriptor)

    def close(self) -> None:
        """Watch nothing any longer."""
        for descriptor in list(self._descriptors):
            self.remove(descriptor)


class EpollPoller:
    """All sockets in one epoll set, which the event loop watches.

    Concurrency: one event loop; no task, no timer.

    Args:
        loop: The event loop.
        arena: Its counters tell how busy the relay is.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, arena: ReceiveArena) -> None:
        self.round = 0
        self._loop = loop
        self._arena = arena
        self._callbacks: dict[int, Callable[[], None]] = {}
        self._epoll = select.epoll()
        self._measured_at = loop.time()
        self._measured = (0, 0)
        self._is_delaying = False
        try:
            loop.add_reader(self._epoll.fileno(), self._serve)
        except NotImplementedError as error:
            self._epoll.close()
            raise ConnectivityError("the event loop has no add_reader", code=CODE_LOOP) from error

    def add(self, descriptor: int, callback: Callable[[], None]) -> None:
        """Watch a socket."""
        self._callbacks[descriptor] = callback
        self._epoll.register(descriptor, select.EPOLLIN)

    def remove(self, descriptor: int) -> None:
        """Watch it no longer."""
        if self._callbacks.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def close(self) -> None:
        """Watch nothing any longer."""
        if not self._epoll.closed:
            self._loop.remove_reader(self._epoll.fileno())
            self._epoll.close()
            self._callbacks.clear()

    def _serve(self) -> None:
        """Serve ready sockets round after round, until there is nothing more or others have waited long enough."""
        now = self._loop.time
        started_at = now()
        end_at = started_at + RELAY_POLL_TURN_S
        callbacks, poll = self._callbacks, self._epoll.poll
        self._measure(started_at)
        while True:
            ready = poll(0, RELAY_POLL_EVENTS)
            self.round += 1
            for descriptor, _ in ready:
                callback = callbacks.get(descriptor)
                if callback is not None:  # an earlier one of this round may have closed it
                    try:
                        callback()
                    except Exception as error:
                        # The others of this round must not wait for ever behind one that always fails.
                        self._loop.call_exception_handler({"message": "in a socket of the relay", "exception": error})
            if self._epoll.closed or now() >= end_at:
                return
            if not ready:
                self.round += 1
                if not self._is_delaying:
                    return
                time.sleep(RELAY_POLL_DELAY_S)

    def _measure(self, now: float) -> None:
        """Find out whether to look away for a moment when nothing is ready, so that the next look finds more.

        The whole process sleeps, which is right: under such a load the loop would wake up for nearly every datagram.
        """
        elapsed = now - self._measured_at
        if elapsed < UDP_RATE_INTERVAL_S:
            return
        arena = self._arena
        received, calls = arena.received - self._measured[0], arena.calls - self._measured[1]
        self._is_delaying = received > RELAY_POLL_DELAY_PACKETS_PER_S * elapsed and received < RELAY_POLL_BATCH * max(
            calls, 1
        )
        self._measured_at, self._measured = now, (arena.received, arena.calls)
