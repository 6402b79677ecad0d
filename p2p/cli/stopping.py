"""Signals: the first one drains, the second one ends at once, the third one does not even say goodbye.

SIGHUP counts: a terminal sends it when it is closed, and OpenSSH sends it to its ``ProxyCommand`` at the end of every
connection.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

import typer

from p2p import defaults
from p2p.aio.tasks import TaskScope
from p2p.cli import text

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

EXIT_INTERRUPTED: Final = 130
"""128 + SIGINT, as shells have it."""


class Stopper:
    """Turns SIGINT, SIGTERM and SIGHUP into an orderly end.

    Before ``ready`` there is nothing to drain, and a signal cancels the owner. Afterwards the first signal refuses
    new sessions and waits for open connections: without limit when a person asked, as long as service managers
    grant when it was another signal. The next signal sets ``stop``. A signal after that, or an end that takes too long,
    cancels the owner.

    Concurrency: made inside the task it may cancel; ``install`` and ``uninstall`` on that task's event loop.

    Args:
        scope: Where the draining task runs.
        note: Tells the user what is being waited for.
        hang_up: What SIGHUP does instead of ending, as servers have it.
    """

    def __init__(
        self, scope: TaskScope, note: Callable[[str], None], hang_up: Callable[[], None] | None = None
    ) -> None:
        self.stop: Final = asyncio.Event()
        self.was_cancelled = False
        self._scope = scope
        self._note = note
        self._hang_up = hang_up
        self._open: Callable[[], str] | None = None
        self._drain: Callable[[], Awaitable[None]] | None = None
        self._installed: list[signal.Signals] = []
        self._signals_seen = 0
        self._grace: asyncio.TimerHandle | None = None
        self._owner = asyncio.current_task()

    def ready(self, still_open: Callable[[], str], drain: Callable[[], Awaitable[None]]) -> None:
        """From now on there is something to drain.

        Args:
            still_open: Tells what is open, such as ``2 connections``; empty when nothing is.
            drain: Refuses what is new and returns when the last of it is closed.
        """
        self._open, self._drain = still_open, drain

    def install(self) -> None:
        """Take over the signals, but leave SIGHUP ignored where ``nohup`` has asked for that."""
        loop = asyncio.get_running_loop()
        is_nohup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        self._installed = [number for number in _SIGNALS if not (is_nohup and number is signal.SIGHUP)]
        for number in self._installed:
            loop.add_signal_handler(number, self.receive, number)

    def uninstall(self) -> None:
        """Give the signals back."""
        if self._grace is not None:
            self._grace.cancel()
        loop = asyncio.get_running_loop()
        for number in self._installed:
            loop.remove_signal_handler(number)

    def receive(self, number: int) -> None:
        """Act on a signal.

        Args:
            number: SIGINT, SIGTERM or SIGHUP.
        """
        if number == signal.SIGHUP and self._hang_up is not None:
            self._hang_up()
            return
        self._signals_seen += 1
        if self._open is None or self.stop.is_set():
            self._cancel()
            return
        still_open = self._open()
        if self._signals_seen > 1 or not still_open:
            self.end()
            return
        limit_s = None if number == signal.SIGINT else defaults.DRAIN_TIMEOUT_S
        how_long = "; Ctrl-C again to abort" if limit_s is None else f", at most {text.duration(limit_s)}"
        if number != signal.SIGHUP:  # after which nobody reads any more
            self._note(f"waiting for {still_open} to end{how_long}")
        self._scope.start(self._drain_then_stop(limit_s), name="drain")

    def end(self) -> None:
        """Set ``stop``, and see to it that it is heard."""
        self.stop.set()
        if self._grace is None:
            self._grace = asyncio.get_running_loop().call_later(defaults.STOP_GRACE_S, self._cancel)

    def _cancel(self) -> None:
        self.was_cancelled = True
        if self._owner is not None:
            self._owner.cancel()

    async def _drain_then_stop(self, limit_s: float | None) -> None:
        assert self._drain is not None
        try:
            async with asyncio.timeout(limit_s):
                await self._drain()
        except TimeoutError:
            self._note("they have not ended, but the time is over")
        finally:
            self.end()


@asynccontextmanager
async def interruptible(stopper: Stopper) -> AsyncIterator[None]:
    """Let a stopper have the signals while the block runs.

    Args:
        stopper: Decides what a signal does.

    Raises:
        typer.Exit: The stopper cancelled the block.
    """
    stopper.install()
    try:
        yield
    except asyncio.CancelledError:
        if stopper.was_cancelled:
            raise typer.Exit(EXIT_INTERRUPTED) from None
        raise
    finally:
        stopper.uninstall()
