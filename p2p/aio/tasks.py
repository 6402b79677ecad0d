"""Where tasks and deadlines live: nothing else in the package may start a task."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from p2p.errors import DeadlineExceededError, ErrorCode, LocalProtocolError

ResultT = TypeVar("ResultT")


class Closable(Protocol):
    """A socket, a file, or what else is closed when nobody uses it any more; a second time does nothing."""

    def close(self) -> object:
        """Close it."""


class TaskScope:
    """A group of background tasks that ends with the ``async with`` block that owns it.

    An ``asyncio.TaskGroup`` waits for its tasks when the block ends; a scope cancels them first, because they are
    servants of the block (reconnect loops, readers) and not its work. An exception in one of them cancels the block
    and leaves it as an ``ExceptionGroup``; cancelling the owner cancels all of them.

    Concurrency: one event loop; ``start`` may be called by the block, by the tasks and by loop callbacks.
    """

    def __init__(self) -> None:
        self._group = asyncio.TaskGroup()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._is_open = False

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        self._is_open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._is_open = False
        for task in self._tasks:
            task.cancel()
        await self._group.__aexit__(kind, error, traceback)

    @property
    def is_open(self) -> bool:
        """Whether ``start`` takes work: from the block's beginning until its end."""
        return self._is_open

    def start(
        self, work: Coroutine[Any, Any, ResultT], *, name: str, closing: Sequence[Closable] = ()
    ) -> asyncio.Task[ResultT]:
        """Run a coroutine until it ends or the scope does.

        Args:
            work: The coroutine; it is closed unrun when the scope is not open.
            name: What logs and debuggers call the task.
            closing: What belongs to the task and is closed when it is over. A task that is cancelled before its first
                step never reaches a ``finally`` of its own.

        Returns:
            The task, for those who want to cancel it early or await its result.

        Raises:
            LocalProtocolError: The scope was not entered yet, or has ended.
        """
        if not self._is_open:
            work.close()
            _close(closing)
            raise LocalProtocolError(f"task {name!r} started outside of its scope")
        task = self._group.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if closing:
            task.add_done_callback(lambda _: _close(closing))
        return task


def _close(things: Sequence[Closable]) -> None:
    for thing in things:
        thing.close()


@asynccontextmanager
async def deadline(seconds: float | None, doing: str, *, code: ErrorCode | None = None) -> AsyncIterator[None]:
    """Give the block so much time and no more.

    Args:
        seconds: The time; None sets no limit.
        doing: What is being done, for the error's text: "logging in to ...".
        code: The stable name of the failure, if the default one is too general.

    Raises:
        DeadlineExceededError: The time was not enough.
    """
    # The timeout's own state decides: a TimeoutError that the block raised itself is no deadline of ours.
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            yield
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise DeadlineExceededError(f"{doing} took more than {seconds:g} s", code=code) from error
