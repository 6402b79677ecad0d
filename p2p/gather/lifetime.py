"""Finding out how long a NAT keeps a mapping, with sockets that nothing else uses."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from functools import partial

from p2p.address import TransportAddress
from p2p.aio.tasks import TaskScope
from p2p.aio.udp import UdpSocket
from p2p.defaults import NAT_TEST_BUFFER_BYTES
from p2p.errors import ConnectivityError
from p2p.proto.stun.lifetime import Lifetime, LifetimeSearch


async def search_lifetime(
    server: TransportAddress,
    *,
    limit_s: float,
    stop: asyncio.Event,
    on_progress: Callable[[Lifetime], None] = lambda _: None,
) -> Lifetime:
    """Narrow down how long a mapping lives without traffic. Takes minutes.

    Args:
        server: A STUN server that knows RESPONSE-PORT.
        limit_s: The longest lifetime to look for, in seconds; the whole takes twice as long at most.
        stop: Ends the search early when it is set.
        on_progress: Told each time more is known.

    Returns:
        What is known when the search ends.
    """
    run = _Run(asyncio.get_running_loop(), server, limit_s, on_progress)
    try:
        run.start()
        async with TaskScope() as scope:
            stopped = scope.start(stop.wait(), name="stop of the search")
            await asyncio.wait((run.done, stopped), return_when=asyncio.FIRST_COMPLETED)
        return run.search.result
    finally:
        run.close()


class _Run:
    """The shell of one search."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        server: TransportAddress,
        limit_s: float,
        on_progress: Callable[[Lifetime], None],
    ) -> None:
        self.search = LifetimeSearch(server, os.urandom, limit_s=limit_s)
        self.done: asyncio.Future[None] = loop.create_future()
        self._loop = loop
        self._any_host = TransportAddress("::" if server.is_ipv6 else "0.0.0.0", 0)  # noqa: S104 -- any interface
        self._on_progress = on_progress
        self._sockets: dict[int, UdpSocket] = {}
        self._told = self.search.result
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self.search.start(self._loop.time())
        self._poke()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for udp in self._sockets.values():
            udp.close()

    def _received(self, index: int, buffer: bytes, segment_size: int, source: TransportAddress, now: float) -> None:
        for start in range(0, len(buffer), segment_size):
            self.search.receive_datagram(buffer[start : start + segment_size], source, now, index)

    def _drained(self, now: float) -> None:
        self._poke()

    def _poke(self) -> None:
        for data, destination, index in self.search.datagrams_to_send(self._loop.time()):
            if (udp := self._socket(index)) is not None:
                udp.send((data,), destination)
        if self.search.result != self._told:
            self._told = self.search.result
            self._on_progress(self._told)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        at = self.search.get_timer()
        if at is not None:
            self._timer = self._loop.call_at(at, self._fire)
        elif not self.done.done():
            self.done.set_result(None)

    def _socket(self, index: int) -> UdpSocket | None:
        if index not in self._sockets:
            try:
                self._sockets[index] = UdpSocket(
                    self._loop,
                    self._any_host,
                    on_batch=partial(self._received, index),
                    on_drained=self._drained,
                    gro=False,
                    gso=False,
                    buffer_bytes=NAT_TEST_BUFFER_BYTES,
                )
            except ConnectivityError:
                # As a question that is lost: a probe without a mapping proves nothing.
                return None
        return self._sockets[index]

    def _fire(self) -> None:
        self._timer = None
        self.search.handle_timer(self._loop.time())
        self._poke()
