"""The timer under uvloop, whose handles for instants that have passed do not know their time."""

from __future__ import annotations

import asyncio

import pytest

from p2p.aio.timer import LazyTimer

uvloop = pytest.importorskip("uvloop")


def test_a_timer_that_is_due_already_can_be_moved() -> None:
    async def run() -> list[float]:
        loop = asyncio.get_running_loop()
        fired: list[float] = []
        done = asyncio.Event()

        def fire(now: float) -> None:
            fired.append(now)
            done.set()

        timer = LazyTimer(loop, fire)
        timer.set(loop.time() - 1)
        timer.set(loop.time() - 2)
        await asyncio.wait_for(done.wait(), 5)
        return fired

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert len(runner.run(run())) == 1
