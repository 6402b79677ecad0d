"""A world for QUIC connections without a network: a clock that jumps, links that delay and lose, and two ends."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from p2p.errors import P2PError
from p2p.quic import CidRouter, Engine, EngineConfig, QuicConnection, ServerCredentials


class VirtualTimer:
    """What ``call_at`` returns."""

    def __init__(self, at: float, callback: Callable[..., object], arguments: tuple[Any, ...]) -> None:
        self._at = at
        self.callback: Callable[..., object] | None = callback
        self.arguments = arguments

    def when(self) -> float:
        return self._at

    def cancel(self) -> None:
        self.callback = None


class VirtualLoop:
    """As much of an event loop as callbacks need; its time moves when nothing is left to do at an instant."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now
        self._heap: list[tuple[float, int, VirtualTimer]] = []
        self._order = itertools.count()

    def time(self) -> float:
        return self.now

    def call_at(self, at: float, callback: Callable[..., object], *arguments: Any) -> VirtualTimer:
        timer = VirtualTimer(at, callback, arguments)
        heapq.heappush(self._heap, (max(at, self.now), next(self._order), timer))
        return timer

    def call_later(self, delay: float, callback: Callable[..., object], *arguments: Any) -> VirtualTimer:
        return self.call_at(self.now + delay, callback, *arguments)

    def call_soon(self, callback: Callable[..., object], *arguments: Any) -> VirtualTimer:
        return self.call_at(self.now, callback, *arguments)

    def run_for(self, seconds: float, *, until: Callable[[], bool] | None = None) -> bool:
        """Let so much time pass, or less if the condition holds before; True if it held (or there was none)."""
        end = self.now + seconds
        while self._heap and self._heap[0][0] <= end:
            if until is not None and until():
                return True
            at, _, timer = heapq.heappop(self._heap)
            self.now = max(self.now, at)
            if timer.callback is not None:
                timer.callback(*timer.arguments)
        if until is not None and until():
            return True
        self.now = end
        return until is None

    @property
    def pending(self) -> int:
        """Timers that are still set: a closed connection leaves none."""
        return sum(timer.callback is not None for _, _, timer in self._heap)


class VirtualLink:
    """One direction of a path: delay, rate, queue, loss, outage; a ``DatagramLink``."""

    def __init__(
        self,
        loop: VirtualLoop,
        *,
        delay_s: float = 0.01,
        bits_per_s: float = 0.0,
        queue_bytes: int = 1 << 20,
        loss: float = 0.0,
        seed: int = 1,
    ) -> None:
        self.loop = loop
        self.delay_s = delay_s
        self.bits_per_s = bits_per_s
        self.queue_bytes = queue_bytes
        self.loss = loss
        self.is_up = True
        self.sent = self.lost = self.losses_told = 0
        self.sizes: set[int] = set()
        self.deliver: Callable[[bytes], object] = lambda data: None
        self.tap: Callable[[bytes], bytes | None] = lambda data: data
        self.capacity: int | None = None
        self._free_at = 0.0
        self._random = random.Random(seed)
        self._waiting: list[Callable[[], object]] = []

    def send(self, datagrams: Sequence[bytes]) -> int:
        if self.capacity is not None:
            taken = min(self.capacity, len(datagrams))
            self.capacity -= taken
        else:
            taken = len(datagrams)
        for datagram in datagrams[:taken]:
            self._carry(datagram)
        return taken

    def call_when_writable(self, callback: Callable[[], object]) -> None:
        self._waiting.append(callback)

    def packets_lost(self) -> None:
        self.losses_told += 1

    def unblock(self, capacity: int | None = None) -> None:
        """Take datagrams again, as many as given or without limit."""
        self.capacity = capacity
        waiting, self._waiting = self._waiting, []
        for callback in waiting:
            self.loop.call_soon(callback)

    def _carry(self, datagram: bytes) -> None:
        self.sent += 1
        self.sizes.add(len(datagram))
        tapped = self.tap(datagram)
        if tapped is None or not self.is_up or (self.loss and self._random.random() < self.loss):
            self.lost += 1
            return
        at = self.loop.now
        if self.bits_per_s:
            free_at = max(at, self._free_at)
            if (free_at - at) * self.bits_per_s / 8 > self.queue_bytes:
                self.lost += 1
                return
            at = self._free_at = free_at + (len(tapped) + 28) * 8 / self.bits_per_s
        self.loop.call_at(at + self.delay_s, self.deliver, tapped)


@dataclass
class Recorder:
    """A ``StreamHandler`` that remembers everything."""

    connected_at: float | None = None
    data: dict[int, bytearray] = field(default_factory=dict)
    ended: set[int] = field(default_factory=set)
    resets: list[tuple[int, int]] = field(default_factory=list)
    stops: list[tuple[int, int]] = field(default_factory=list)
    datagrams: list[bytes] = field(default_factory=list)
    errors: list[P2PError] = field(default_factory=list)
    feed: Callable[[], bool] = lambda: False
    on_connected: Callable[[], object] = lambda: None
    on_data: Callable[[int, bytes, bool], object] = lambda stream_id, data, end: None
    clock: Callable[[], float] = lambda: 0.0

    def handshake_completed(self) -> None:
        assert self.connected_at is None
        self.connected_at = self.clock()
        self.on_connected()

    def stream_data_received(self, stream_id: int, data: bytes, end: bool) -> None:
        assert stream_id not in self.ended
        self.data.setdefault(stream_id, bytearray()).extend(data)
        if end:
            self.ended.add(stream_id)
        self.on_data(stream_id, data, end)

    def stream_reset(self, stream_id: int, code: int) -> None:
        self.resets.append((stream_id, code))

    def sending_stopped(self, stream_id: int, code: int) -> None:
        self.stops.append((stream_id, code))

    def datagram_received(self, data: bytes) -> None:
        self.datagrams.append(data)

    def writable(self) -> bool:
        return self.feed()

    def connection_lost(self, error: P2PError) -> None:
        self.errors.append(error)


@dataclass
class World:
    """A client and a server with a link in each direction."""

    loop: VirtualLoop
    client: QuicConnection
    server: QuicConnection
    client_handler: Recorder
    server_handler: Recorder
    up: VirtualLink
    down: VirtualLink

    def connect(self) -> World:
        """Start both ends and wait for the handshake; returns itself."""
        self.server.start()
        self.client.start()
        assert self.loop.run_for(5, until=self.is_connected), (self.client_handler, self.server_handler)
        # The handshake is confirmed a round trip later.
        self.loop.run_for(0.1)
        return self

    def is_connected(self) -> bool:
        return self.client_handler.connected_at is not None and self.server_handler.connected_at is not None

    def set_up(self, is_up: bool) -> None:
        self.up.is_up = self.down.is_up = is_up


def make_world(
    client_engine: Engine,
    server_engine: Engine,
    credentials: ServerCredentials,
    public_key: bytes,
    *,
    delay_s: float = 0.01,
    bits_per_s: float = 0.0,
    queue_bytes: int = 1 << 20,
    loss: float = 0.0,
    config: EngineConfig | None = None,
    **options: Any,
) -> World:
    """Make two ends that are not started yet."""
    loop = VirtualLoop()
    config = config or EngineConfig()
    link_options: dict[str, Any] = {
        "delay_s": delay_s,
        "bits_per_s": bits_per_s,
        "queue_bytes": queue_bytes,
        "loss": loss,
    }
    up, down = VirtualLink(loop, **link_options, seed=1), VirtualLink(loop, **link_options, seed=2)
    event_loop = cast(asyncio.AbstractEventLoop, loop)
    client_handler, server_handler = Recorder(clock=loop.time), Recorder(clock=loop.time)
    client = QuicConnection(
        event_loop, client_engine.client(config), up, peer_public_key=public_key, handler=client_handler, **options
    )
    server = QuicConnection(
        event_loop,
        server_engine.server(config, credentials, client.initial_destination_cid),
        down,
        peer_public_key=None,
        handler=server_handler,
        **options,
    )
    for link, receiver in ((up, server), (down, client)):
        link.deliver = deliver_through_router(loop, receiver)
    return World(loop, client, server, client_handler, server_handler, up, down)


def deliver_through_router(loop: VirtualLoop, receiver: QuicConnection) -> Callable[[bytes], object]:
    router = CidRouter()
    router.attach(receiver)

    def deliver(data: bytes) -> None:
        router.receive(data, len(data), loop.now)
        router.after_receive(loop.now)

    return deliver
