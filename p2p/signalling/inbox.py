"""What arrives from other peers: opened, authenticated, and each body once."""

from __future__ import annotations

import logging
from collections.abc import Callable

from p2p.errors import IntegrityError
from p2p.identity import Identity, OpenedBody, ReplayGuard
from p2p.proto.signalling.messages import KnockDelivery, SignalDelivery

logger = logging.getLogger(__name__)


class Inbox:
    """Opens signals and drops those that are not what they seem.

    Args:
        identity: Whom they are sealed to.
        now_wall: The Unix clock.

    Attributes:
        dropped: How many were not for us, stale, forged or repeated.
    """

    def __init__(self, identity: Identity, now_wall: Callable[[], float]) -> None:
        self._identity = identity
        self._now_wall = now_wall
        self._guard = ReplayGuard()
        self.dropped = 0

    def open(self, message: SignalDelivery | KnockDelivery) -> OpenedBody | None:
        """Open a signal or a knock; None when it is dropped."""
        try:
            opened = self._identity.open_untrusted(message.body)
            if isinstance(message, SignalDelivery) and str(opened.sender) != message.sender:
                raise IntegrityError(f"{message.sender[:10]} passes on what {opened.sender.short} wrote")
            self._guard.check(opened, now_wall=self._now_wall())
        except IntegrityError as error:
            self.dropped += 1
            # Anybody who is logged in can send us any number of these, and whoever has a ticket.
            logger.info("a signal was dropped: %s", error)
            return None
        return opened
