"""A timer that is cheap to set for every packet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

_SLACK_S: Final = 1e-4
"""How much too early a loop may call: within its clock's resolution."""


class LazyTimer:
    """Calls back at an instant that may be moved often, mostly to a later one.

    A loop's timers cannot be moved, and cancelled ones stay in its heap. So an earlier one is left alone; when it
    fires, it looks whether it is due.

    Args:
        loop: The event loop.
        fire: Called with the present instant, never earlier than the one set; the timer is unset then.
    """

    __slots__ = ("_due_at", "_fire", "_handle", "_handle_at", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop, fire: Callable[[float], object]) -> None:
        self._loop = loop
        self._fire = fire
        self._handle: asyncio.TimerHandle | None = None
        self._due_at = 0.0
        self._handle_at = 0.0

    def set(self, at: float | None) -> None:
        """Set, move or unset the timer.

        Args:
            at: When to call back, on the loop's clock; None for never.
        """
        if at is None:
            self.cancel()
            return
        self._due_at = at
        if self._handle is not None:
            if self._handle_at <= at:
                return
            self._handle.cancel()
        self._call_at(at)

    def cancel(self) -> None:
        """Unset the timer; nothing of it stays with the loop."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _called(self) -> None:
        self._handle = None
        now = self._loop.time()
        if self._due_at > now + _SLACK_S:
            self._call_at(self._due_at)
            return
        self._fire(max(now, self._due_at))

    def _call_at(self, at: float) -> None:
        # Kept here because uvloop gives a handle that does not know its time when that has come already.
        self._handle_at = at
        self._handle = self._loop.call_at(at, self._called)
