"""What a relay writes to its log: who got which relayed address, and why requests were refused. Never credentials."""

from __future__ import annotations

import logging

from relay.core.allocation import Allocation
from relay.core.five_tuple import FiveTuple
from relay.core.request import RefusedError, StunError
from relay.core.table import EndReason

logger = logging.getLogger("relay")

_EVERYDAY = (StunError.BAD_REQUEST, StunError.UNAUTHENTICATED, StunError.UNKNOWN_ATTRIBUTE, StunError.STALE_NONCE)
"""What anybody can provoke without credentials, and every client does with its first request."""


class RelayLog:
    """Writes what happens to allocations."""

    def allocation_created(self, allocation: Allocation) -> None:
        """A client has got an allocation."""
        relayed = ", ".join(str(socket.relayed_address) for socket in allocation.sockets.values())
        logger.info("%s: allocated %s for %r", allocation.five_tuple, relayed, allocation.owner)

    def allocation_ended(self, allocation: Allocation, reason: EndReason) -> None:
        """An allocation is gone."""
        logger.info(
            "%s: allocation of %r %s after %d datagrams, %d bytes",
            allocation.five_tuple,
            allocation.owner,
            reason.value,
            allocation.packets,
            allocation.relayed_bytes,
        )

    def request_refused(self, five_tuple: FiveTuple, method: str, error: RefusedError) -> None:
        """A request was answered with an error."""
        level = logging.DEBUG if error.number in _EVERYDAY else logging.INFO
        logger.log(level, "%s: %s refused, %s", five_tuple, method, error.detail)
