"""The driver: sends, timers and events of any machine, with a clock that jumps."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from p2p.address import TransportAddress
from p2p.aio.driver import MachineDriver
from p2p.proto.machine import Datagram
from tests.support.quic_world import VirtualLoop

PEER = TransportAddress("192.0.2.7", 7)


class Echo:
    """Echoes what starts with ``e``, ticks every second once told to, and reports both."""

    def __init__(self) -> None:
        self.out: list[Datagram] = []
        self.events: list[str] = []
        self.timer: float | None = None
        self.ticks: list[float] = []

    def receive_datagram(self, data: bytes, source: TransportAddress, now: float) -> bool:
        if not data.startswith(b"e"):
            return False
        self.out.append(Datagram(data, source))
        self.events.append(f"echoed at {now:g}")
        return True

    def datagrams_to_send(self, now: float) -> list[Datagram]:
        out, self.out = self.out, []
        return out

    def get_timer(self) -> float | None:
        return self.timer

    def handle_timer(self, now: float) -> None:
        if self.timer is not None and now >= self.timer:
            self.ticks.append(now)
            self.timer = now + 1.0 if len(self.ticks) < 3 else None
            self.events.append("tick")

    def next_event(self) -> str | None:
        return self.events.pop(0) if self.events else None


@pytest.fixture
def loop() -> VirtualLoop:
    return VirtualLoop()


class Rig:
    def __init__(self, loop: VirtualLoop) -> None:
        self.machine = Echo()
        self.sent: list[tuple[bytes, TransportAddress]] = []
        self.heard: list[str] = []
        self.driver = MachineDriver(
            cast(asyncio.AbstractEventLoop, loop),
            self.machine,
            send=lambda data, destination: self.sent.append((data, destination)),
            on_event=self.on_event,
        )

    def on_event(self, event: str) -> None:
        self.heard.append(event)


@pytest.fixture
def rig(loop: VirtualLoop) -> Rig:
    return Rig(loop)


def test_what_is_the_machines_is_answered(rig: Rig) -> None:
    assert rig.driver.receive(b"echo", PEER, 1000.5)
    assert rig.sent == [(b"echo", PEER)]
    assert rig.heard == ["echoed at 1000.5"]


def test_what_is_not_the_machines_is_left_alone(rig: Rig) -> None:
    assert not rig.driver.receive(b"other", PEER)
    assert not rig.sent


def test_timers_fire_when_due_and_never_early(rig: Rig, loop: VirtualLoop) -> None:
    rig.machine.timer = 1001.0
    rig.driver.poke()
    loop.run_for(10)
    assert rig.machine.ticks == [1001.0, 1002.0, 1003.0]
    assert rig.heard == ["tick"] * 3
    assert loop.pending == 0


def test_a_timer_moves_both_ways(rig: Rig, loop: VirtualLoop) -> None:
    rig.machine.timer = 1005.0
    rig.driver.poke()
    rig.machine.timer = 1002.0
    rig.driver.poke()
    rig.driver.poke()
    assert loop.pending == 1
    loop.run_for(2.5)
    assert rig.machine.ticks == [1002.0]


def test_a_timer_that_fires_early_is_due_for_the_machine(rig: Rig, loop: VirtualLoop) -> None:
    rig.machine.timer = 1001.0
    rig.driver.poke()
    loop.now = 1000.9999  # as asyncio does, within its clock's resolution
    rig.driver._timer._called()
    assert rig.machine.ticks == [1001.0]


def test_an_event_may_give_the_machine_more_to_do(rig: Rig) -> None:
    def again(event: str) -> None:
        rig.heard.append(event)
        if len(rig.heard) < 3:
            rig.machine.out.append(Datagram(b"more", PEER))
            rig.machine.events.append("again")
            rig.driver.poke()

    rig.driver._on_event = again
    rig.driver.receive(b"e", PEER)
    assert [data for data, _ in rig.sent] == [b"e", b"more", b"more"]
    assert len(rig.heard) == 3


def test_nothing_happens_after_close(rig: Rig, loop: VirtualLoop) -> None:
    rig.machine.timer = 1001.0
    rig.driver.poke()
    rig.driver.close()
    assert loop.pending == 0
    assert not rig.driver.receive(b"echo", PEER)
    rig.driver.poke()
    loop.run_for(5)
    assert not rig.machine.ticks


def test_closing_from_an_event(rig: Rig, loop: VirtualLoop) -> None:
    rig.machine.timer = 1001.0
    rig.machine.events += ["first", "second"]

    def close(event: str) -> None:
        rig.heard.append(event)
        rig.driver.close()

    rig.driver._on_event = close
    rig.driver.poke()
    assert rig.heard == ["first"]
    assert loop.pending == 0
