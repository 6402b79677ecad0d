"""Empty frames follow a message, and end with the connection."""

from __future__ import annotations

import asyncio

from p2p.aio.chaser import Chaser
from p2p.aio.tasks import TaskScope
from p2p.defaults import CHASER_WAITS_S

ALL_S = sum(CHASER_WAITS_S) + 0.05


class Line:
    """Counts frames; takes so many."""

    def __init__(self, most: int = 100) -> None:
        self.frames = 0
        self._most = most

    async def send(self) -> None:
        if self.frames == self._most:
            raise ConnectionResetError("gone")
        self.frames += 1


async def test_frames_follow_the_last_of_several_messages() -> None:
    line = Line()
    async with TaskScope() as tasks:
        chaser = Chaser(tasks, line.send)
        chaser.sent()
        await asyncio.sleep(CHASER_WAITS_S[0] + 0.002)
        chaser.sent()
        chaser.sent()
        await asyncio.sleep(2 * ALL_S)
        assert line.frames == 2 * len(CHASER_WAITS_S)
        chaser.sent()
        await asyncio.sleep(ALL_S)
        assert line.frames == 3 * len(CHASER_WAITS_S)


async def test_a_line_that_is_gone_is_not_chased() -> None:
    line = Line(most=1)
    async with TaskScope() as tasks:
        chaser = Chaser(tasks, line.send)
        chaser.sent()
        await asyncio.sleep(ALL_S)
    assert line.frames == 1
    chaser.sent()  # after the end of the scope
