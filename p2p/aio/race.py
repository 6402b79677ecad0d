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
) -> list[ResultT]:
    """Try one after the other without waiting for the end of any; what is still under way at a success is cancelled.

    Args:
        attempts: Begin an attempt, the preferred one first. What goes wrong is their result; they raise nothing.
        spacing_s: How long after the one before each begins; at once when one has failed.
        is_good: Whether a result is a success.

    Returns:
        Successes first, and then failures in the order of the attempts. Several successes are those of one moment:
        all but the first are the caller's to undo.

    Source: RFC 8305 section 5, with anything that can be tried in the place of connections.
    """
    begun: list[asyncio.Task[ResultT]] = []
    waiting = list(attempts)
    async with asyncio.TaskGroup() as group:
        while True:
            if waiting:
                begun.append(group.create_task(waiting.pop(0)()))
            pending = {task for task in begun if not task.done()}
            if pending:
                await asyncio.wait(pending, timeout=spacing_s if waiting else None, return_when=asyncio.FIRST_COMPLETED)
            ended = [task for task in begun if task.done() and not task.cancelled()]
            has_won = any(task.exception() is None and is_good(task.result()) for task in ended)
            if has_won or len(ended) == len(attempts):
                break
        for task in begun:
            task.cancel()
    results = [task.result() for task in ended]
    return sorted(results, key=lambda result: not is_good(result))
