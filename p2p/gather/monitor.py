"""Noticing that this host has moved to another network, or has slept."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from p2p.defaults import NETWORK_CHECK_S, NETWORK_SETTLE_MAX_S, NETWORK_SETTLE_S, NETWORK_SLEEP_S
from p2p.errors import DecodeError
from p2p.gather.interfaces import NetworkState
from p2p.gather.rtnetlink import open_socket, tells_change_untrusted

logger = logging.getLogger(__name__)

_READ_BYTES: Final = 1 << 16
_READS_AT_ONCE: Final = 64


@dataclass(frozen=True, slots=True)
class NetworkChange:
    """What happened.

    Attributes:
        before: Where we were.
        after: Where we are now.
        slept: Whether this host, or this process, did not run for a while.
        blinked: Whether the network was away for a moment, and is the same again.
    """

    before: NetworkState
    after: NetworkState
    slept: bool = False
    blinked: bool = False

    @property
    def is_elsewhere(self) -> bool:
        """Whether packets may take another way now, so that no connection of before goes on."""
        return self.slept or self.before.way_out != self.after.way_out

    @property
    def moved(self) -> bool:
        """Whether what was learned of the network holds no longer; else only an address came or went on the side."""
        return self.is_elsewhere or self.blinked or not self.after.way_out

    @property
    def is_cut_off(self) -> bool:
        """Whether there was a way to the outside, and there is none."""
        return bool(self.before.way_out) and not self.after.way_out


class SleepWatch:
    """Tells from two clocks, looked at again and again, whether we slept in between.

    Asleep, either the loop's clock stands still and the wall clock does not, or both go on and the look comes late.

    Args:
        interval_s: How far apart the looks are meant to be.
    """

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._seen: tuple[float, float] | None = None

    def look(self, now: float, now_wall: float) -> bool:
        """Look at the clocks.

        Args:
            now: The monotonic time.
            now_wall: The Unix time, which may be set while we run: that passes for sleep, and costs little.

        Returns:
            Whether more than ``NETWORK_SLEEP_S`` are missing since the last look.
        """
        before, self._seen = self._seen, (now, now_wall)
        if before is None:
            return False
        passed_s = now - before[0]
        stood_still_s = (now_wall - before[1]) - passed_s
        return stood_still_s > NETWORK_SLEEP_S or passed_s - self._interval_s > NETWORK_SLEEP_S


class NetworkMonitor:
    """Calls back when addresses, links or the way to the outside have changed, and after sleep.

    Linux tells by netlink when to look; what is seen then decides, so that the news of interfaces that lead nowhere
    is passed over. Elsewhere it looks every ``NETWORK_CHECK_S``. News come in bursts: it waits until there were none
    for ``NETWORK_SETTLE_S``, but not longer than ``NETWORK_SETTLE_MAX_S``.

    Concurrency: one event loop, no task; between ``start`` and ``close`` it holds timers and one socket.

    Args:
        loop: The event loop.
        read_state: Looks where we are, such as ``network_state``. Takes a millisecond, and may raise OSError.
        on_change: Told what has changed; never called when nothing has.
        open_news: Opens the netlink socket.
        now_wall: The Unix clock.

    Attributes:
        state: Where we were at the last look.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        read_state: Callable[[], NetworkState],
        on_change: Callable[[NetworkChange], None],
        open_news: Callable[[], socket.socket] = open_socket,
        now_wall: Callable[[], float] = time.time,
    ) -> None:
        self.state = NetworkState((), ())
        self._loop = loop
        self._read_state = read_state
        self._on_change = on_change
        self._open_news = open_news
        self._now_wall = now_wall
        self._sleep = SleepWatch(NETWORK_CHECK_S)
        self._news: socket.socket | None = None
        self._check_timer: asyncio.TimerHandle | None = None
        self._settle_timer: asyncio.TimerHandle | None = None
        self._settle_by = 0.0
        self._has_slept = self._has_blinked = False

    def start(self) -> None:
        """Note where we are, and watch from now on."""
        # Heard before the first look, so that no change falls between the two.
        try:
            self._news = self._open_news()
            self._loop.add_reader(self._news, self._news_waits)
        except (OSError, NotImplementedError) as error:
            logger.info("the network is looked at every %g s: %s", NETWORK_CHECK_S, error)
            self._close_news()
        self.state = self._read_state()
        self._check()

    def close(self) -> None:
        """Stop watching; nothing stays with the loop. A second call does nothing."""
        self._close_news()
        for timer in (self._check_timer, self._settle_timer):
            if timer is not None:
                timer.cancel()
        self._check_timer = self._settle_timer = None

    # --- what makes us look --------------------------------------------------------------------------------

    def _check(self) -> None:
        self._check_timer = self._loop.call_later(NETWORK_CHECK_S, self._check)
        if self._sleep.look(self._loop.time(), self._now_wall()):
            self._has_slept = True
            self._look_soon()
        elif self._news is None:
            self._look()

    def _news_waits(self) -> None:
        assert self._news is not None
        is_relevant = False
        # Not until it is empty: a kernel that never stops telling must not stop everything else.
        for _ in range(_READS_AT_ONCE):
            try:
                data, (sender, _) = self._news.recvfrom(_READ_BYTES)
            except (BlockingIOError, InterruptedError):
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    logger.warning("no more news of the network: %s", error)
                    self._close_news()
                # Something was told and is lost.
                is_relevant = True
                break
            # Other processes may send to netlink sockets too.
            if sender == 0:
                is_relevant |= self._is_relevant(data)
        if is_relevant:
            self._look_soon()

    @staticmethod
    def _is_relevant(data: bytes) -> bool:
        try:
            return tells_change_untrusted(data)
        except DecodeError as error:
            logger.debug("news of the network not understood: %s", error)
            return True

    # --- looking -------------------------------------------------------------------------------------------

    def _look_soon(self) -> None:
        now = self._loop.time()
        if self._settle_timer is None:
            self._settle_by = now + NETWORK_SETTLE_MAX_S
            # What is away now may be back when all has settled, and connections may have broken all the same.
            self._has_blinked = self._read() != self.state
        else:
            self._settle_timer.cancel()
        self._settle_timer = self._loop.call_at(min(now + NETWORK_SETTLE_S, self._settle_by), self._look)

    def _look(self) -> None:
        if self._settle_timer is not None:
            self._settle_timer.cancel()
            self._settle_timer = None
        slept, self._has_slept = self._has_slept, False
        differed, self._has_blinked = self._has_blinked, False
        before, self.state = self.state, self._read()
        if slept or differed or self.state != before:
            change = NetworkChange(before, self.state, slept=slept, blinked=differed and self.state == before)
            logger.info("the network has changed: %s", change)
            self._on_change(change)

    def _read(self) -> NetworkState:
        try:
            return self._read_state()
        except OSError as error:
            # An interface that goes while it is asked about; its going is told, too.
            logger.info("cannot look at the network: %s", error)
            return self.state

    def _close_news(self) -> None:
        news, self._news = self._news, None
        if news is not None:
            self._loop.remove_reader(news)
            news.close()
