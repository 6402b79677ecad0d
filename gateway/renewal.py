"""Files that are read again when somebody has written them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from p2p.errors import ConfigError

LOOK_EVERY_S: Final = 30.0


class Renewable(Protocol):
    """What was read from files."""

    def reload_if_changed(self) -> None:
        """Read them again if they were written.

        Raises:
            ConfigError: They are wrong; what was read before stays.
        """
        ...


async def renew(files: Sequence[Renewable], tell_problem: Callable[[ConfigError], None]) -> None:
    """Look after files, until cancelled; wrong ones are told, and the last good ones stay.

    Args:
        files: What was read from them.
        tell_problem: Told what is wrong.
    """
    while files:
        await asyncio.sleep(LOOK_EVERY_S)
        for each in files:
            try:
                each.reload_if_changed()
            except ConfigError as error:
                tell_problem(error)
