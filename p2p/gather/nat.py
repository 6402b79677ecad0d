"""Finding out how the NAT in front of us behaves, with sockets that nothing else uses."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from p2p.address import TransportAddress
from p2p.aio.udp import UdpSocket
from p2p.defaults import (
    NAT_FILTERING_PORT_TRIES,
    NAT_FILTERING_PORTS,
    NAT_PARITY_TRIES,
    NAT_TEST_BUFFER_BYTES,
)
from p2p.errors import ConnectivityError
from p2p.proto.stun.behaviour import BehaviourDiscovered, BehaviourDiscovery, NatBehaviour

_NEEDED_SOCKETS: Final = 2
_LAST_PORT: Final = 65_535


async def discover_behaviour(
    servers: Sequence[TransportAddress],
    *,
    on_update: Callable[[NatBehaviour], None] | None = None,
    local_host: str | None = None,
) -> NatBehaviour:
    """Run the tests of RFC 5780 against STUN servers.

    Args:
        servers: Of one address family; the first is asked all questions.
        on_update: Told what is known so far, each time it is more.
        local_host: The address to send from; None leaves it to the system, and then it is not concluded whether
            there is a NAT at all.

    Returns:
        What was found out; unknown is not false.

    Raises:
        ConnectivityError: No socket can be bound.
    """
    loop = asyncio.get_running_loop()
    run = _Run(loop, on_update)
    host = local_host or ("::" if servers[0].is_ipv6 else "0.0.0.0")  # noqa: S104 -- any interface
    try:
        run.open(host, BehaviourDiscovery.SOCKETS)
        run.machine = BehaviourDiscovery(servers, [udp.local_address for udp in run.sockets], os.urandom)
        run.machine.start(loop.time())
        run.poke()
        return await run.result
    finally:
        run.close()


class _Run:
    """The shell of one discovery."""

    def __init__(self, loop: asyncio.AbstractEventLoop, on_update: Callable[[NatBehaviour], None] | None) -> None:
        self.sockets: list[UdpSocket] = []
        self.machine: BehaviourDiscovery | None = None
        self.result: asyncio.Future[NatBehaviour] = loop.create_future()
        self._loop = loop
        self._on_update = on_update
        self._timer: asyncio.TimerHandle | None = None

    def open(self, host: str, count: int) -> None:
        """Open sockets: that of the mapping tests, that of the filtering tests, and pairs of neighbouring ports.

        Their order tells a NAT that looks at our ports from one that counts. Of every other pair the higher port is
        first, so that a counter does not keep neighbours together; and each pair begins even where the one before ended
        even, so that a counter does not keep parity. What is not free is replaced by any port. Where descriptors run
        out there are fewer sockets, but at least the two that must be.

        Raises:
            ConnectivityError: Not even those can be opened.
        """
        self.sockets.append(self._open(host, 0, 0))
        self.sockets.append(self._open_aside(host))
        for index in range(_NEEDED_SOCKETS, count):
            before = self.sockets[-1].local_address.port
            neighbour = None
            if index % 2:
                neighbour = self._try_open(host, before + (1 if index % 4 == 1 else -1), index)
            try:
                self.sockets.append(neighbour or self._open_of_parity(host, before, index))
            except ConnectivityError:
                return

    def _open_of_parity(self, host: str, like: int, index: int) -> UdpSocket:
        """Open a socket on a port that is even if another one is, in all but few cases."""
        for _ in range(NAT_PARITY_TRIES):
            udp = self._open(host, 0, index)
            if (udp.local_address.port ^ like) & 1 == 0:
                return udp
            udp.close()
        return self._open(host, 0, index)

    def _open_aside(self, host: str) -> UdpSocket:
        low, high = NAT_FILTERING_PORTS
        for _ in range(NAT_FILTERING_PORT_TRIES):
            if (udp := self._try_open(host, low + secrets.randbelow(high - low + 1), 1)) is not None:
                return udp
        return self._open(host, 0, 1)

    def _try_open(self, host: str, port: int, index: int) -> UdpSocket | None:
        try:
            return self._open(host, port, index) if port <= _LAST_PORT else None
        except ConnectivityError:
            return None

    def _open(self, host: str, port: int, index: int) -> UdpSocket:
        return UdpSocket(
            self._loop,
            TransportAddress(host, port),
            on_batch=partial(self.received, index),
            on_drained=self.drained,
            gro=False,
            gso=False,
            buffer_bytes=NAT_TEST_BUFFER_BYTES,
        )

    def received(self, index: int, buffer: bytes, segment_size: int, source: TransportAddress, now: float) -> None:
        if self.machine is not None:
            for start in range(0, len(buffer), segment_size):
                self.machine.receive_datagram(buffer[start : start + segment_size], source, now, index)

    def drained(self, now: float) -> None:
        self.poke()

    def poke(self) -> None:
        if self.machine is None:
            return
        for data, destination, index in self.machine.datagrams_to_send(self._loop.time()):
            self.sockets[index].send((data,), destination)
        while (event := self.machine.next_event()) is not None:
            if isinstance(event, BehaviourDiscovered):
                if not self.result.done():
                    self.result.set_result(event.behaviour)
            elif self._on_update is not None:
                self._on_update(event.behaviour)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        at = self.machine.get_timer()
        if at is not None and not self.result.done():
            self._timer = self._loop.call_at(at, self._fire)

    def _fire(self) -> None:
        self._timer = None
        if self.machine is not None:
            self.machine.handle_timer(self._loop.time())
        self.poke()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for udp in self.sockets:
            udp.close()
