"""Waiting for an instance, and being told to wait no longer."""

from __future__ import annotations

import asyncio
from types import TracebackType


class Patience:
    """What waits for the first word of an answer.

    Concurrency: one event loop.
    """

    def __init__(self) -> None:
        self._waiting: dict[asyncio.Timeout, bool] = {}

    def waiting(self, *, can_move: bool) -> Waiting:
        """Wait inside an ``async with`` block, which raises ``TimeoutError`` when ``end`` was called meanwhile.

        Args:
            can_move: Whether it may be asked for elsewhere.
        """
        return Waiting(self._waiting, can_move=can_move)

    def end(self, *, for_all: bool) -> None:
        """Let what waits now wait no longer.

        Args:
            for_all: Also what cannot be asked for elsewhere.
        """
        for timeout, can_move in list(self._waiting.items()):
            if for_all or can_move:
                del self._waiting[timeout]
                timeout.reschedule(0.0)


class Waiting:
    """One that waits; a class of its own, as each request makes one and generators cost three times as much."""

    __slots__ = ("_all", "_can_move", "_timeout")

    def __init__(self, all_: dict[asyncio.Timeout, bool], *, can_move: bool) -> None:
        self._all = all_
        self._can_move = can_move
        self._timeout = asyncio.timeout(None)

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()
        self._all[self._timeout] = self._can_move

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._all.pop(self._timeout, None)
        await self._timeout.__aexit__(kind, error, traceback)
