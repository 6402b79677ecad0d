"""Attempts overlap; the first success ends the others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from p2p.aio.race import race

Attempt = Callable[[], Coroutine[Any, Any, int]]


def ends(result: int, begun: list[int]) -> Attempt:
    async def attempt() -> int:
        begun.append(result)
        return result

    return attempt


def hangs(number: int, begun: list[int], over: list[int]) -> Attempt:
    async def attempt() -> int:
        begun.append(number)
        try:
            await asyncio.Event().wait()
        finally:
            over.append(number)
        return number

    return attempt


def is_good(result: int) -> bool:
    return result > 0


async def test_a_success_leaves_the_others_unbegun() -> None:
    begun: list[int] = []
    assert await race([ends(1, begun), ends(2, begun)], spacing_s=60, is_good=is_good) == [1]
    assert begun == [1]


async def test_a_failure_begins_the_next_at_once() -> None:
    begun: list[int] = []
    assert await race([ends(-1, begun), ends(2, begun)], spacing_s=60, is_good=is_good) == [2, -1]


async def test_one_that_hangs_is_passed_and_cancelled() -> None:
    begun: list[int] = []
    over: list[int] = []
    attempts = [hangs(1, begun, over), hangs(2, begun, over), ends(3, begun), ends(4, begun)]
    assert await race(attempts, spacing_s=0.0, is_good=is_good) == [3]
    assert begun == [1, 2, 3]
    assert sorted(over) == [1, 2]


async def test_all_failures_come_in_the_order_of_the_attempts() -> None:
    begun: list[int] = []
    attempts = [ends(-3, begun), ends(-1, begun), ends(-2, begun)]
    assert await race(attempts, spacing_s=0.0, is_good=is_good) == [-3, -1, -2]


async def test_whoever_is_cancelled_cancels_all() -> None:
    begun: list[int] = []
    over: list[int] = []
    async with asyncio.TaskGroup() as group:
        task = group.create_task(race([hangs(1, begun, over)], spacing_s=0.0, is_good=is_good))
        while not begun:
            await asyncio.sleep(0)
        task.cancel()
    assert task.cancelled()
    assert over == [1]


async def test_a_success_that_nobody_gets_is_undone() -> None:
    undone: list[int] = []

    async def undo(result: int) -> None:
        undone.append(result)

    gate = asyncio.Event()

    async def attempt(number: int) -> int:
        await gate.wait()
        return number

    def start() -> Coroutine[Any, Any, list[int]]:
        attempts = [partial(attempt, number) for number in (-1, 2, 3)]
        return race(attempts, spacing_s=0.0, is_good=is_good, undo=undo)

    async with asyncio.TaskGroup() as group:
        racing = group.create_task(start())
        await asyncio.sleep(0.01)
        gate.set()
    assert racing.result() == [2, -1]
    assert undone == [3]
    gate.clear()
    async with asyncio.TaskGroup() as group:
        racing = group.create_task(start())
        await asyncio.sleep(0.01)
        gate.set()
        await asyncio.sleep(0)  # the attempts have their results, and the race has not heard of them
        racing.cancel()
    assert racing.cancelled()
    assert undone == [3, 2, 3]
