"""Run one test under every kind of event loop we support."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvloop

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.SelectorEventLoop,
    "uvloop": uvloop.new_event_loop,
}


def on_every_loop(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Make a coroutine test run once under plain asyncio and once under uvloop."""

    @functools.wraps(test)
    def run(loop_name: str, **arguments: Any) -> None:
        async def main() -> None:
            await test(**arguments)

        with asyncio.Runner(loop_factory=LOOPS[loop_name]) as runner:
            runner.run(main())

    signature = inspect.signature(test)
    loop_name = inspect.Parameter("loop_name", inspect.Parameter.KEYWORD_ONLY)
    run.__signature__ = signature.replace(parameters=[*signature.parameters.values(), loop_name])  # type: ignore[attr-defined]
    del run.__wrapped__  # type: ignore[attr-defined]  # or pytest would take it for a coroutine function
    return pytest.mark.parametrize("loop_name", list(LOOPS))(run)
