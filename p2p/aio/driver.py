"""Runs any protocol machine on an event loop: sends what it wants sent, keeps its timer, hands out its events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

from p2p.address import TransportAddress
from p2p.aio.timer import LazyTimer
from p2p.proto.machine import DatagramMachine

EventT = TypeVar("EventT")


class MachineDriver(Generic[EventT]):
    """Drives one ``DatagramMachine``.

    The owner of the socket calls ``receive``; whoever gives the machine a command (``machine.start(now)``) calls
    ``poke`` afterwards. An event callback may do both: the driver goes round again until the machine is silent.

    Concurrency: one event loop, no task; it holds one timer of the loop, which ``close`` cancels.

    Args:
        loop: The event loop, whose ``time()`` is the machine's ``now``.
        machine: The protocol.
        send: Puts one datagram on the network.
        on_event: Called with each event, in order.
    """

    __slots__ = ("_is_closed", "_is_running", "_loop", "_on_event", "_rerun", "_send", "_timer", "machine")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        machine: DatagramMachine[EventT],
        *,
        send: Callable[[bytes, TransportAddress], object],
        on_event: Callable[[EventT], object],
    ) -> None:
        self.machine = machine
        self._loop = loop
        self._send = send
        self._on_event = on_event
        self._timer = LazyTimer(loop, self._fire)
        self._is_running = self._rerun = self._is_closed = False

    def receive(self, data: bytes, source: TransportAddress, now: float | None = None) -> bool:
        """Offer a datagram to the machine.

        Args:
            data: The whole datagram.
            source: Where it came from.
            now: When it arrived, on the loop's clock; None for this moment.

        Returns:
            Whether the datagram was the machine's.
        """
        if self._is_closed:
            return False
        if not self.machine.receive_datagram(data, source, self._loop.time() if now is None else now):
            return False
        self.poke()
        return True

    def poke(self) -> None:
        """Do what the machine wants done now, and set its timer again."""
        if self._is_closed:
            return
        if self._is_running:
            self._rerun = True
            return
        self._is_running = True
        try:
            self._rerun = True
            while self._rerun and not self._is_closed:
                self._rerun = False
                for datagram in self.machine.datagrams_to_send(self._loop.time()):
                    self._send(datagram.data, datagram.destination)
                while not self._is_closed and (event := self.machine.next_event()) is not None:
                    self._on_event(event)
                    # An event's handler may have caused something to send without telling us.
                    self._rerun = True
        finally:
            self._is_running = False
            self._timer.set(None if self._is_closed else self.machine.get_timer())

    def close(self) -> None:
        """Stop: no callback is called and nothing stays with the loop after this."""
        self._is_closed = True
        self._timer.cancel()

    def _fire(self, now: float) -> None:
        self.machine.handle_timer(now)
        self.poke()
