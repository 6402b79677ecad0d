"""Scopes end their tasks; deadlines name what took too long."""

from __future__ import annotations

import asyncio

import pytest

from p2p.aio.tasks import TaskScope, deadline
from p2p.errors import DeadlineExceededError, LocalProtocolError


async def forever(log: list[str]) -> None:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        log.append("cancelled")
        raise


async def test_the_end_of_the_block_ends_the_tasks() -> None:
    log: list[str] = []
    async with TaskScope() as scope:
        task = scope.start(forever(log), name="servant")
        assert task.get_name() == "servant"
        await asyncio.sleep(0)
    assert task.cancelled()
    assert log == ["cancelled"]


async def test_a_task_that_ends_is_forgotten_and_its_result_kept() -> None:
    async def work() -> int:
        return 42

    async with TaskScope() as scope:
        assert await scope.start(work(), name="work") == 42


async def test_a_failing_task_cancels_the_block() -> None:
    async def fail() -> None:
        raise ValueError("broken")

    with pytest.raises(ExceptionGroup) as caught:
        async with TaskScope() as scope:
            scope.start(fail(), name="fail")
            await asyncio.Event().wait()
    assert [type(error) for error in caught.value.exceptions] == [ValueError]


async def test_an_error_of_the_block_ends_the_tasks_too() -> None:
    log: list[str] = []
    with pytest.raises(ExceptionGroup):
        async with TaskScope() as scope:
            scope.start(forever(log), name="servant")
            await asyncio.sleep(0)
            raise ValueError("block")
    assert log == ["cancelled"]


async def test_nothing_starts_outside_of_the_block() -> None:
    scope = TaskScope()
    with pytest.raises(LocalProtocolError, match="outside"):
        scope.start(forever([]), name="early")
    async with scope:
        pass
    with pytest.raises(LocalProtocolError, match="outside"):
        scope.start(forever([]), name="late")


class Door:
    """Counts how often it was closed."""

    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


async def test_what_belongs_to_a_task_is_closed_at_its_end_and_not_before() -> None:
    door, may_end = Door(), asyncio.Event()
    async with TaskScope() as scope:
        task = scope.start(may_end.wait(), name="work", closing=(door,))
        await asyncio.sleep(0)
        assert door.closed == 0
        may_end.set()
        await task
        assert door.closed == 1
    assert door.closed == 1


async def test_what_belongs_to_a_task_that_never_began_is_closed() -> None:
    log: list[str] = []
    first, second, late = Door(), Door(), Door()
    async with TaskScope() as scope:
        scope.start(forever(log), name="servant", closing=(first, second))
    assert log == []
    assert (first.closed, second.closed) == (1, 1)
    with pytest.raises(LocalProtocolError, match="outside"):
        scope.start(forever(log), name="late", closing=(late,))
    assert late.closed == 1


async def test_cancelling_the_owner_cancels_the_tasks() -> None:
    log: list[str] = []

    async def owner() -> None:
        async with TaskScope() as scope:
            scope.start(forever(log), name="servant")
            await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        task = group.create_task(owner())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
    assert log == ["cancelled"]


async def test_a_deadline_says_what_took_too_long() -> None:
    with pytest.raises(DeadlineExceededError, match="waiting for Godot took more than 0 s"):
        async with deadline(0, "waiting for Godot"):
            await asyncio.Event().wait()


async def test_no_deadline_and_time_enough() -> None:
    async with deadline(None, "anything"):
        pass
    async with deadline(60, "anything"):
        pass


async def test_a_timeout_of_the_block_itself_is_no_deadline() -> None:
    with pytest.raises(TimeoutError) as caught:
        async with deadline(60, "anything"):
            raise TimeoutError("its own")
    assert not isinstance(caught.value, DeadlineExceededError)
