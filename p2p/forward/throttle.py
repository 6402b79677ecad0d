"""Limits on the bandwidth of a service: one for each direction, shared by all its flows of all sessions."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from p2p import defaults
from p2p.aio.timer import LazyTimer
from p2p.forward.local_end import LocalEnd
from p2p.proto.byte_bucket import ByteBucket
from p2p.target import ServiceRates


class Throttle:
    """One direction of one service.

    Flows that find nothing left wait in a row, and each gets a portion when its turn comes; so the rate is shared
    evenly, whoever asks how often.

    Args:
        loop: The event loop.
        bytes_per_s: The limit.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, bytes_per_s: float) -> None:
        portion = bytes_per_s * defaults.THROTTLE_PORTION_S
        self._portion_bytes = int(
            min(max(portion, defaults.THROTTLE_PORTION_LEAST_BYTES), defaults.THROTTLE_PORTION_MOST_BYTES)
        )
        self._bucket = ByteBucket(
            bytes_per_s, max(bytes_per_s * defaults.THROTTLE_BURST_S, defaults.THROTTLE_BURST_LEAST_BYTES)
        )
        self._loop = loop
        self._timer = LazyTimer(loop, self._serve)
        self._waiting: deque[Valve] = deque()

    def valve(self, resume: Callable[[], object]) -> Valve:
        """Make what a flow passes its bytes through.

        Args:
            resume: Called when the flow has waited and may go on.
        """
        return Valve(self, resume)

    def take(self, length: int, size: int) -> int:
        """Pass datagrams, which do not wait.

        Args:
            length: Their bytes in all.
            size: Of each; the last may be shorter.

        Returns:
            How many bytes of them may pass: whole datagrams; the rest must be dropped.
        """
        drawn = self._bucket.draw(length, self._loop.time())
        if drawn == length:
            return length
        passed = drawn - drawn % size
        self._bucket.refund(drawn - passed)
        return passed

    def draw(self, wanted_bytes: int) -> int:
        """Take bytes, a portion at least unless fewer are wanted, if nobody waits for them; for a valve."""
        if self._waiting:
            return 0
        drawn = self._bucket.draw(wanted_bytes, self._loop.time())
        if drawn < min(wanted_bytes, self._portion_bytes):  # else single bytes would trickle through
            self._bucket.refund(drawn)
            return 0
        return drawn

    def refund(self, unused_bytes: int) -> None:
        """Take bytes back that did not pass; for a valve."""
        self._bucket.refund(unused_bytes)

    def wait(self, valve: Valve) -> None:
        """Put a valve at the end of the row."""
        self._waiting.append(valve)
        if len(self._waiting) == 1:
            self._timer.set(self._bucket.ready_at(self._portion_bytes, self._loop.time()))

    def leave(self, valve: Valve) -> None:
        """Take a valve out of the row; one that is not there is no error."""
        if valve in self._waiting:
            self._waiting.remove(valve)
        if not self._waiting:
            self._timer.cancel()

    def _serve(self, now: float) -> None:
        while self._waiting:
            portion = self._bucket.draw(self._portion_bytes, now)
            if portion < self._portion_bytes:
                self._bucket.refund(portion)
                self._timer.set(self._bucket.ready_at(self._portion_bytes, now))
                return
            self._waiting.popleft().grant(portion)


class Valve:
    """One flow's place at a throttle."""

    __slots__ = ("_granted", "_resume", "_throttle", "is_waiting")

    def __init__(self, throttle: Throttle, resume: Callable[[], object]) -> None:
        self._throttle = throttle
        self._resume = resume
        self._granted = 0
        self.is_waiting = False

    def send(self, local: LocalEnd, data: bytes | bytearray) -> int:
        """Write as much of some bytes to a connection as may pass, and as it takes.

        Raises:
            BlockingIOError: Nothing may pass now; the flow is told when to go on.
            OSError: See ``socket.send``.
        """
        length = 0
        allowed = self._allowance(len(data))
        try:
            length = local.send(memoryview(data)[:allowed])
        finally:
            self._passed(length)
        return length

    def receive_into(self, local: LocalEnd, buffer: memoryview, limit: int) -> int:
        """Read as much from a connection as may pass, and as it has.

        Raises:
            BlockingIOError: Nothing may pass now; the flow is told when to go on.
            OSError: See ``socket.recv_into``.
        """
        length = 0
        allowed = self._allowance(limit)
        try:
            length = local.recv_into(buffer, allowed)
        finally:
            self._passed(length)
        return length

    def grant(self, length: int) -> None:
        """The throttle gives the flow its portion."""
        self._granted = length
        self.is_waiting = False
        self._resume()

    def close(self) -> None:
        """The flow is over."""
        self._throttle.refund(self._granted)
        self._granted = 0
        if self.is_waiting:
            self.is_waiting = False
            self._throttle.leave(self)

    def _allowance(self, wanted_bytes: int) -> int:
        if not (self._granted or self.is_waiting):
            self._granted = self._throttle.draw(wanted_bytes)
            if not self._granted:
                self.is_waiting = True
                self._throttle.wait(self)
        if self.is_waiting:
            raise BlockingIOError
        return min(wanted_bytes, self._granted)

    def _passed(self, length: int) -> None:
        self._throttle.refund(self._granted - length)
        self._granted = 0


class ServiceThrottles(NamedTuple):
    """The throttles of a service."""

    inwards: Throttle | None = None
    outwards: Throttle | None = None


UNTHROTTLED = ServiceThrottles()


class Throttles:
    """The throttles of all services of a process.

    Args:
        loop: The event loop.
        rates: By the name of a service; what has the empty one is for each service that has none of its own.
        services: The names that there are. With None every name is one: only where no peer chooses them.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        rates: Mapping[str, ServiceRates],
        services: Collection[str] | None = None,
    ) -> None:
        self._loop = loop
        self._rates = rates
        self._names = services
        self._services: dict[str, ServiceThrottles] = {}

    def of(self, service: str) -> ServiceThrottles:
        """Find the throttles of a service; the empty name means the only one there is."""
        names = self._names
        if names is not None and service not in names:
            if service or len(names) != 1:
                return UNTHROTTLED
            service = next(iter(names))
        if service not in self._services:
            inwards, outwards = self._rates.get(service) or self._rates.get("") or ServiceRates()
            self._services[service] = ServiceThrottles(
                None if inwards is None else Throttle(self._loop, inwards),
                None if outwards is None else Throttle(self._loop, outwards),
            )
        return self._services[service]
