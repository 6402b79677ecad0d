"""The event loop of a server, and the signals that end it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any, Final, Self

_STOPPING: Final = (signal.SIGTERM, signal.SIGINT)


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine on uvloop where it is installed, else on asyncio's loop.

    Args:
        main: The program.
    """
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(main)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


class StopSignals:
    """SIGTERM and SIGINT: the first one drains, the second one ends at once. SIGHUP reloads.

    A context manager that has the signals while its block runs, on the running loop.

    Args:
        reload: Reads what may change while the server runs.
    """

    def __init__(self, reload: Callable[[], object]) -> None:
        self._reload = reload
        self._draining = asyncio.Event()
        self._over = asyncio.Event()

    def __enter__(self) -> Self:
        loop = asyncio.get_running_loop()
        for number in _STOPPING:
            loop.add_signal_handler(number, self.stop)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        return self

    def __exit__(self, *exception: object) -> None:
        loop = asyncio.get_running_loop()
        for number in (*_STOPPING, signal.SIGHUP):
            loop.remove_signal_handler(number)

    async def serve(self, drain: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Wait for the signal to stop, and drain.

        Args:
            drain: Sends clients away; a second signal cancels it.
        """
        await self._draining.wait()
        async with asyncio.TaskGroup() as tasks:
            work = tasks.create_task(drain(), name="drain")
            work.add_done_callback(lambda _: self._over.set())
            await self._over.wait()
            work.cancel()

    def stop(self) -> None:
        """Do what a signal does: drain, and end at once when called a second time."""
        (self._over if self._draining.is_set() else self._draining).set()
