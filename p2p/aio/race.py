"""Attempts that overlap: the next one begins before the one before has failed, and the first that succeeds wins."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

ResultT = TypeVar("ResultT")


async def race(
    attempts: Sequence[Callable[[], Coroutine[Any, Any, ResultT]]],
    *,
    spacing_s: float,
    is_good: Callable[[ResultT], bool],
    undo: Callable[[ResultT], Coroutine[Any, Any, object]] | None = None,
) -> list[ResultT]:
    """Try one after the other without waiting for the end of any; what is still under way at a success is cancelled.

    Args:
        attempts: Begin an attempt, the preferred one first. What goes wrong is their result; they raise nothing.
        spacing_s: How long after the one before each begins; at once when one has failed.
        is_good: Whether a result is a success.
        undo: Ends a success that nobody gets: another one came in the same moment, or the caller was cancelled.

    Returns:
        The success, if there is one, and then failures in the order of the attempts.

    Source: RFC 8305 section 5, with anything that can be tried in the place of connections.
    """
    begun: list[asyncio.Task[ResultT]] = []
    waiting = list(attempts)
    unwanted: list[ResultT] = []
    try:
        async with asyncio.TaskGroup() as group:
            while True:
                if waiting:
                    begun.append(group.create_task(waiting.pop(0)()))
                pending = {task for task in begun if not task.done()}
                if pending:
                    wait_s = spacing_s if waiting else None
                    await asyncio.wait(pending, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
                ended = [task for task in begun if task.done() and not task.cancelled()]
                has_won = any(task.exception() is None and is_good(task.result()) for task in ended)
                if has_won or len(ended) == len(attempts):
                    break
            for task in begun:
                task.cancel()
        results = sorted(_results(begun), key=lambda result: not is_good(result))
        wins = sum(map(is_good, results))
        unwanted = results[1:wins]
        return [*results[:1], *results[max(1, wins) :]]
    except asyncio.CancelledError:
        unwanted = [result for result in _results(begun) if is_good(result)]
        raise
    finally:
        if undo is not None:
            for result in unwanted:
                await undo(result)


def _results(tasks: Sequence[asyncio.Task[ResultT]]) -> list[ResultT]:
    return [task.result() for task in tasks if not task.cancelled() and task.exception() is None]
