"""Many streams that begin, end and break off while the network loses, delays and stalls: none hangs, none is cut."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable

import pytest

from p2p.errors import LocalProtocolError
from p2p.quic import QuicConnection
from tests.support.quic_world import VirtualLink, World
from tests.unit.quic.conftest import MakeWorld

STREAMS = 40
SIZES = (1, 100, 3_000, 70_000, 200_000)


class Stall:
    """A receiver that does not run for a while, and then finds everything at once."""

    def __init__(self, link: VirtualLink) -> None:
        self._link = link
        self._deliver = link.deliver
        self._held: list[bytes] = []

    def begin(self) -> None:
        self._link.deliver = self._held.append

    def end(self) -> None:
        self._link.deliver = self._deliver
        held, self._held = self._held, []
        for data in held:
            self._deliver(data)


class Crowd:
    """Streams of the client, each with a request and a response of some size; some are broken off."""

    def __init__(self, world: World, chance: random.Random) -> None:
        self.world = world
        self.chance = chance
        self.expected: dict[int, tuple[int, int]] = {}
        self._answered: set[int] = set()
        self._broken: set[int] = set()
        world.server_handler.on_data = self._answer

    def start(self) -> None:
        """Open a stream and send its request."""
        chance, client = self.chance, self.world.client
        stream_id = client.open_stream()
        request, response = chance.choice(SIZES), chance.choice(SIZES)
        self.expected[stream_id] = request, response
        client.send(stream_id, bytes(request), end=True)
        if chance.random() < 0.4:
            self._broken.add(stream_id)
            side = chance.choice((client, self.world.server))
            kind = chance.choice(("stop", "reset", "both"))
            self.world.loop.call_later(chance.random() * 0.3, self._break, side, stream_id, kind)

    def is_done(self) -> bool:
        """Whether every stream that was not broken off has ended on both sides."""
        client, server = self.world.client_handler, self.world.server_handler
        return len(self.expected) == STREAMS and all(
            stream_id in client.ended and stream_id in server.ended for stream_id in self.whole
        )

    @property
    def whole(self) -> set[int]:
        """The streams that were not broken off."""
        return self.expected.keys() - self._broken

    def _answer(self, stream_id: int, data: bytes, end: bool) -> None:
        if stream_id not in self._answered:
            self._answered.add(stream_id)
            with contextlib.suppress(LocalProtocolError):  # it was broken off
                self.world.server.send(stream_id, bytes(self.expected[stream_id][1]), end=True)

    def _break(self, side: QuicConnection, stream_id: int, kind: str) -> None:
        if kind != "reset":
            side.stop(stream_id, 7)
        if kind != "stop":
            side.reset(stream_id, 7)


def stall_now_and_then(world: World, chance: random.Random) -> None:
    for link in (world.up, world.down):
        stall = Stall(link)
        for _ in range(4):
            begin_s = chance.random()
            world.loop.call_later(begin_s, stall.begin)
            world.loop.call_later(begin_s + chance.random() * 0.3, stall.end)


def lose(world: World, chance: random.Random) -> None:
    world.up.loss, world.down.loss = chance.choice((0.01, 0.05)), chance.choice((0.01, 0.05))


def change_paths(world: World, chance: random.Random) -> None:
    for side in (world.client, world.server):
        for _ in range(3):
            world.loop.call_later(chance.random(), side.path_changed)
    world.loop.call_later(chance.random(), world.set_up, False)
    back_s = 1 + chance.random()
    world.loop.call_later(back_s, world.set_up, True)
    for side in (world.client, world.server):
        world.loop.call_later(back_s, side.path_up)


@pytest.mark.parametrize("troubles", [(), (lose,), (lose, change_paths)], ids=["", "loss", "loss-and-paths"])
@pytest.mark.parametrize("seed", [0, 2, 6, 18, 23, 210])
def test_every_stream_ends(
    make_same: MakeWorld, seed: int, troubles: tuple[Callable[[World, random.Random], None], ...]
) -> None:
    chance = random.Random(seed)
    world = make_same(
        bits_per_s=chance.choice((5e6, 20e6, 100e6)),
        queue_bytes=chance.choice((20_000, 200_000, 1 << 20)),
        delay_s=chance.choice((0.001, 0.01, 0.03)),
    ).connect()
    crowd = Crowd(world, chance)
    for _ in range(STREAMS):
        world.loop.call_later(chance.random() * 0.5, crowd.start)
    for trouble in (stall_now_and_then, *troubles):
        trouble(world, chance)
    assert world.loop.run_for(120, until=crowd.is_done)
    assert world.client_handler.errors == world.server_handler.errors == []
    assert world.client.stats.guarded_errors == world.server.stats.guarded_errors == 0
    for stream_id in crowd.whole:
        request, response = crowd.expected[stream_id]
        assert len(world.server_handler.data[stream_id]) == request
        assert len(world.client_handler.data[stream_id]) == response
