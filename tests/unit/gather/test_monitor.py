"""When a change of network is told, with a clock of our own."""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable
from typing import Any

import pytest

from p2p import defaults
from p2p.gather.interfaces import NetworkState
from p2p.gather.monitor import NetworkChange, NetworkMonitor, SleepWatch

HOME = NetworkState(("10.0.0.2",), ("10.0.0.1 wlan0", "10.0.0.2"))
TRAIN = NetworkState(("172.16.0.9",), ("172.16.0.1 wlan0", "172.16.0.9"))
NOWHERE = NetworkState((), ())
WITH_VPN = NetworkState(("10.0.0.2", "10.8.0.3"), HOME.way_out)
NEWS = struct.pack("=IHHII", 16, 20, 0, 0, 0)
NO_NEWS = struct.pack("=IHHII", 16, 3, 0, 0, 0)
SETTLED_S = defaults.NETWORK_SETTLE_S + 0.01


class Timer:
    def __init__(self, at: float, callback: Callable[[], None]) -> None:
        self.at, self.callback, self.is_cancelled = at, callback, False

    def cancel(self) -> None:
        self.is_cancelled = True


class Loop:
    """As much of an event loop as a monitor needs; its time passes when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.timers: list[Timer] = []
        self.readers: dict[Any, Callable[[], None]] = {}

    def time(self) -> float:
        return self.now

    def call_at(self, at: float, callback: Callable[[], None]) -> Timer:
        self.timers.append(Timer(at, callback))
        return self.timers[-1]

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        return self.call_at(self.now + delay_s, callback)

    def add_reader(self, sock: Any, callback: Callable[[], None]) -> None:
        self.readers[sock] = callback

    def remove_reader(self, sock: Any) -> None:
        self.readers.pop(sock, None)

    @property
    def waiting(self) -> list[Timer]:
        return [timer for timer in self.timers if not timer.is_cancelled]

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while due := [timer for timer in self.waiting if timer.at <= end]:
            timer = min(due, key=lambda timer: timer.at)
            self.timers.remove(timer)
            self.now = max(self.now, timer.at)
            timer.callback()
        self.now = end


class News:
    """A netlink socket that a test fills."""

    def __init__(self) -> None:
        self.queue: list[tuple[bytes, int] | OSError] = []
        self.is_closed = False

    def recvfrom(self, size: int) -> tuple[bytes, tuple[int, int]]:
        if not self.queue:
            raise BlockingIOError
        item = self.queue.pop(0)
        if isinstance(item, OSError):
            raise item
        return item[0], (item[1], 0)

    def close(self) -> None:
        self.is_closed = True


class Host:
    """A host whose network a test changes."""

    def __init__(self, *, netlink: bool = True) -> None:
        self.loop = Loop()
        self.news = News()
        self.state: NetworkState | OSError = HOME
        self.wall_offset_s = 0.0
        self.told: list[NetworkChange] = []
        self.monitor = NetworkMonitor(
            self.loop,  # type: ignore[arg-type]
            read_state=self.look,
            on_change=self.told.append,
            open_news=self.open if netlink else self.refuse,  # type: ignore[arg-type]
            now_wall=lambda: self.loop.now + self.wall_offset_s,
        )
        self.monitor.start()

    def look(self) -> NetworkState:
        if isinstance(self.state, OSError):
            raise self.state
        return self.state

    def open(self) -> News:
        return self.news

    def refuse(self) -> News:
        raise OSError("no netlink")

    def tell(self, data: bytes | OSError = NEWS, sender: int = 0) -> None:
        self.news.queue.append(data if isinstance(data, OSError) else (data, sender))
        self.loop.readers[self.news]()


def test_a_change_is_told_once_it_has_settled() -> None:
    host = Host()
    host.state = TRAIN
    host.tell()
    host.loop.run(defaults.NETWORK_SETTLE_S / 2)
    assert not host.told
    host.tell()
    host.loop.run(defaults.NETWORK_SETTLE_S - 0.01)
    assert not host.told
    host.loop.run(60)
    assert host.told == [NetworkChange(HOME, TRAIN)]
    assert host.told[0].moved
    assert host.told[0].is_elsewhere


def test_news_without_end_do_not_put_it_off_for_ever() -> None:
    host = Host()
    host.state = TRAIN
    for _ in range(11):
        host.tell()
        host.loop.run(0.1)
    assert host.told == [NetworkChange(HOME, TRAIN)]


def test_news_after_which_all_is_as_before_are_passed_over() -> None:
    host = Host()
    host.tell()
    host.loop.run(60)
    assert not host.told


def test_an_address_on_the_side_is_told_and_is_no_move() -> None:
    host = Host()
    host.state = WITH_VPN
    host.tell()
    host.loop.run(SETTLED_S)
    assert [change.moved for change in host.told] == [False]


def test_a_network_that_was_away_for_a_moment_is_told() -> None:
    host = Host()
    host.state = NOWHERE
    host.tell()
    host.loop.run(0.05)
    host.state = HOME
    host.tell()
    host.loop.run(SETTLED_S)
    assert host.told == [NetworkChange(HOME, HOME, blinked=True)]
    assert host.told[0].moved
    assert not host.told[0].is_elsewhere


def test_the_end_of_all_networks_and_the_return() -> None:
    host = Host()
    host.state = NOWHERE
    host.tell()
    host.loop.run(SETTLED_S)
    host.state = HOME
    host.tell()
    host.loop.run(SETTLED_S)
    assert [(change.is_cut_off, change.is_elsewhere) for change in host.told] == [(True, True), (False, True)]


def test_lost_news_are_news_and_foreign_ones_are_none() -> None:
    host = Host()
    host.state = TRAIN
    host.tell(NO_NEWS)
    host.tell(NEWS, sender=4711)
    host.loop.run(SETTLED_S)
    assert not host.told
    host.tell(OSError(errno.ENOBUFS, "overrun"))
    host.loop.run(SETTLED_S)
    assert len(host.told) == 1


def test_news_that_are_not_understood_are_news() -> None:
    host = Host()
    host.state = TRAIN
    host.tell(b"?")
    host.loop.run(SETTLED_S)
    assert len(host.told) == 1


def test_a_broken_netlink_socket_is_replaced_by_looking() -> None:
    host = Host()
    host.tell(OSError(errno.EIO, "broken"))
    assert host.news.is_closed
    host.loop.run(60)
    host.state = TRAIN
    host.loop.run(defaults.NETWORK_CHECK_S + 0.01)
    assert host.told == [NetworkChange(HOME, TRAIN)]


def test_without_netlink_it_looks_by_itself() -> None:
    host = Host(netlink=False)
    host.loop.run(60)
    assert not host.told
    host.state = TRAIN
    host.loop.run(defaults.NETWORK_CHECK_S + 0.01)
    assert host.told == [NetworkChange(HOME, TRAIN)]


def test_a_look_that_fails_changes_nothing() -> None:
    host = Host()
    host.state = OSError("the interface has just gone")
    host.tell()
    host.loop.run(SETTLED_S)
    assert not host.told
    host.state = TRAIN
    host.tell()
    host.loop.run(SETTLED_S)
    assert host.told == [NetworkChange(HOME, TRAIN)]


@pytest.mark.parametrize("netlink", [True, False])
def test_sleep_is_told_though_nothing_else_has_changed(netlink: bool) -> None:
    host = Host(netlink=netlink)
    host.loop.run(10)
    host.wall_offset_s += 3600
    host.loop.run(defaults.NETWORK_CHECK_S + SETTLED_S)
    assert host.told == [NetworkChange(HOME, HOME, slept=True)]
    host.loop.run(60)
    assert len(host.told) == 1


def test_nothing_stays_with_the_loop() -> None:
    host = Host()
    host.tell()
    host.monitor.close()
    host.monitor.close()
    assert host.news.is_closed
    assert not host.loop.waiting
    assert not host.loop.readers


def test_a_clock_that_stood_still_or_a_look_far_too_late_is_sleep() -> None:
    interval_s = 3.0
    asleep_s = defaults.NETWORK_SLEEP_S + 0.1
    for late_s, wall_s, expected in [
        (0.0, 0.0, False),
        (0.5, 0.5, False),
        (0.0, asleep_s, True),
        (asleep_s, asleep_s, True),
        (asleep_s, 0.0, True),
        (0.0, -asleep_s, False),
    ]:
        watch = SleepWatch(interval_s)
        assert not watch.look(10.0, 5000.0)
        assert watch.look(10.0 + interval_s + late_s, 5000.0 + interval_s + wall_s) is expected
