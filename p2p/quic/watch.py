"""The slow timer of a connection: a handshake that takes too long, a peer that is quiet, a farewell that is over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from p2p.aio.timer import LazyTimer
from p2p.defaults import QUIC_CLOSE_LINGER_LEAST_S, QUIC_CLOSE_LINGER_MOST_S, QUIC_CLOSE_LINGER_ROUND_TRIPS


class Watch:
    """One timer for three phases of which each ends the one before.

    Args:
        loop: The event loop.
        on_handshake_timeout: The handshake took too long.
        on_quiet: Nothing was heard of the peer for the keep-alive time; called again each time it passes.
        on_lingered: The farewell is over.
    """

    __slots__ = (
        "_keep_alive_s",
        "_loop",
        "_on_due",
        "_on_handshake_timeout",
        "_on_lingered",
        "_on_quiet",
        "_timer",
        "heard_at",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        on_handshake_timeout: Callable[[], object],
        on_quiet: Callable[[], object],
        on_lingered: Callable[[], object],
    ) -> None:
        self.heard_at = 0.0
        self._loop = loop
        self._on_handshake_timeout = on_handshake_timeout
        self._on_quiet = on_quiet
        self._on_lingered = on_lingered
        self._keep_alive_s = 0.0
        self._on_due: Callable[[], object] = on_handshake_timeout
        self._timer = LazyTimer(loop, lambda _now: self._on_due())

    def begin(self, timeout_s: float) -> None:
        """The handshake begins, and may take so long."""
        self.heard_at = self._loop.time()
        self._on_due = self._on_handshake_timeout
        self._timer.set(self.heard_at + timeout_s)

    def keep_alive(self, interval_s: float | None) -> None:
        """The handshake is over; from now on the peer should be heard this often, or need not if None."""
        if interval_s is None:
            self._timer.cancel()
            return
        self._keep_alive_s = interval_s
        self._on_due = self._look
        self._timer.set(self.heard_at + interval_s)

    def linger(self, round_trip_s: float | None) -> None:
        """The connection is closed, and answers to those who have not heard it for some round trips more."""
        if round_trip_s is None:
            wait_s = QUIC_CLOSE_LINGER_MOST_S
        else:
            wanted_s = QUIC_CLOSE_LINGER_ROUND_TRIPS * round_trip_s
            wait_s = min(max(wanted_s, QUIC_CLOSE_LINGER_LEAST_S), QUIC_CLOSE_LINGER_MOST_S)
        self._on_due = self._on_lingered
        self._timer.set(self._loop.time() + wait_s)

    def cancel(self) -> None:
        """Nothing is waited for any more."""
        self._timer.cancel()

    def _look(self) -> None:
        now = self._loop.time()
        due_at = self.heard_at + self._keep_alive_s
        if due_at > now:
            self._timer.set(due_at)
            return
        self._timer.set(now + self._keep_alive_s)
        self._on_quiet()
