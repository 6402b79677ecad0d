"""The lazy timer: moved often, called once, when it is due."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from p2p.aio.timer import LazyTimer
from tests.support.quic_world import VirtualLoop


@pytest.fixture
def loop() -> VirtualLoop:
    return VirtualLoop(0.0)


def timer_of(loop: VirtualLoop, fired: list[float]) -> LazyTimer:
    return LazyTimer(cast(asyncio.AbstractEventLoop, loop), fired.append)


def test_it_fires_once_when_due(loop: VirtualLoop) -> None:
    fired: list[float] = []
    timer_of(loop, fired).set(1.0)
    loop.run_for(5)
    assert fired == [1.0]


def test_moving_it_later_keeps_the_loops_timer(loop: VirtualLoop) -> None:
    fired: list[float] = []
    timer = timer_of(loop, fired)
    for step in range(1000):
        timer.set(1.0 + step / 1000)
    assert loop.pending == 1
    loop.run_for(5)
    assert fired == [pytest.approx(1.999)]


def test_moving_it_earlier(loop: VirtualLoop) -> None:
    fired: list[float] = []
    timer = timer_of(loop, fired)
    timer.set(3.0)
    timer.set(1.0)
    assert loop.pending == 1
    loop.run_for(5)
    assert fired == [1.0]


def test_unsetting_it(loop: VirtualLoop) -> None:
    fired: list[float] = []
    timer = timer_of(loop, fired)
    timer.set(1.0)
    timer.set(None)
    timer.cancel()
    assert loop.pending == 0
    loop.run_for(5)
    assert not fired


def test_setting_it_again_when_it_fires(loop: VirtualLoop) -> None:
    fired: list[float] = []

    def again(now: float) -> None:
        fired.append(now)
        if len(fired) < 3:
            timer.set(now + 1.0)

    timer = LazyTimer(cast(asyncio.AbstractEventLoop, loop), again)
    timer.set(1.0)
    loop.run_for(10)
    assert fired == [1.0, 2.0, 3.0]


def test_a_call_within_the_clocks_resolution_is_due(loop: VirtualLoop) -> None:
    fired: list[float] = []
    timer = timer_of(loop, fired)
    timer.set(1.0)
    loop.now = 0.99995
    timer._called()
    assert fired == [1.0]
