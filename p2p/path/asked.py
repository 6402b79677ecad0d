"""Which session an answer to a connectivity check is for, where many share a socket."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from p2p.defaults import CHECKS_REMEMBERED

_TRANSACTION_ID: Final = slice(8, 20)
"""Where a STUN message has its transaction id. Source: RFC 8489 section 5."""


class AskedChecks:
    """Remembers who sent the latest checks; an answer says by its transaction id which one it is for.

    Without it each answer would be offered to every session, and a program's effort would grow with the square of their
    number.

    Args:
        most: How many are remembered; the answer to an older one is lost, as on a bad network.
    """

    def __init__(self, most: int = CHECKS_REMEMBERED) -> None:
        self._most = most
        self._askers: OrderedDict[bytes, str] = OrderedDict()

    def note(self, check: bytes, asker: str) -> None:
        """Remember a check.

        Args:
            check: The message, as it is sent.
            asker: The user name fragment of the session's own credentials.
        """
        self._askers[check[_TRANSACTION_ID]] = asker
        if len(self._askers) > self._most:
            self._askers.popitem(last=False)

    def asker(self, transaction_id: bytes) -> str | None:
        """Tell whose check an answer is for; None when nobody's of late."""
        return self._askers.get(transaction_id)
