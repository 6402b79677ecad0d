"""Codes of logins that a publisher is redeeming."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import count
from typing import Final

import msgspec

from p2p.proto.login import Claims, Redeem, Redeemed

REDEEMED_WITHIN_S: Final = 15.0
"""How long an issuer and the way to it may take."""
AT_ONCE_MAX: Final = 64
"""Codes of one publisher; strangers can begin logins and bring back nonsense."""


class Redemptions:
    """The questions to one publisher that it has not answered yet.

    Args:
        tell: Sends it a message.
    """

    def __init__(self, tell: Callable[[Redeem], None]) -> None:
        self._tell = tell
        self._numbers = count()
        self._open: dict[int, asyncio.Future[Claims | None]] = {}

    async def redeem(self, *, code: str, verifier: str, nonce: str, redirect: str) -> Claims | None:
        """Ask who it is that brought a code.

        Returns:
            Who it is; None for nobody who may come.

        Raises:
            msgspec.ValidationError: A visitor brought something that is no code.
            TimeoutError: There is no answer, or there are too many questions.
        """
        if len(self._open) >= AT_ONCE_MAX:
            raise TimeoutError
        number = next(self._numbers)
        answer = self._open[number] = asyncio.get_running_loop().create_future()
        try:
            fields = {"number": number, "code": code, "verifier": verifier, "nonce": nonce, "redirect": redirect}
            self._tell(msgspec.convert(fields, Redeem))
            async with asyncio.timeout(REDEEMED_WITHIN_S):
                who: Claims | None = await answer
                return who
        finally:
            del self._open[number]

    def answered(self, message: Redeemed) -> None:
        """Take an answer; one that nobody waits for any more is dropped."""
        answer = self._open.get(message.number)
        if answer is not None and not answer.done():
            answer.set_result(message.claims)
