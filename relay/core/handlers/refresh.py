"""Refresh: keeps an allocation, moves it, or gives it up. Source: RFC 8656 section 8.2, RFC 8016 section 3.2."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Final

from p2p.proto.stun.attributes import FAMILY_IPV4, FAMILY_IPV6, LIFETIME, MOBILITY_TICKET, REQUESTED_ADDRESS_FAMILY
from p2p.proto.stun.message import AttributeValue
from relay.core.handlers.lifetimes import granted_lifetime_s
from relay.core.request import RefusedError, Request, StunError
from relay.core.table import AllocationTable, EndReason

_TICKET_RANDOM_BYTES: Final = 15


def new_ticket(random_bytes: Callable[[int], bytes]) -> bytes:
    """Make a mobility ticket: text, because coturn's client keeps tickets as C strings.

    Args:
        random_bytes: Source of randomness.
    """
    return base64.urlsafe_b64encode(random_bytes(_TICKET_RANDOM_BYTES))


class RefreshHandler:
    """Answers Refresh requests.

    Args:
        table: Where allocations are.
        random_bytes: Source of mobility tickets.
    """

    def __init__(self, table: AllocationTable, random_bytes: Callable[[int], bytes]) -> None:
        self._table = table
        self._random_bytes = random_bytes

    def handle(self, request: Request) -> tuple[AttributeValue, ...]:
        """Refresh or end the allocation; one that was found by its ticket moves to where the request came from.

        Args:
            request: Authenticated.

        Returns:
            The attributes of the success response.

        Raises:
            RefusedError: 400, 437, 441 or 443.
        """
        ticket = request.message.get(MOBILITY_TICKET)
        if ticket and request.allocation is None:
            raise RefusedError(StunError.BAD_REQUEST, "no allocation for this mobility ticket")
        allocation = request.require_allocation()
        if allocation.five_tuple != request.five_tuple:
            self._table.move(allocation, request.five_tuple, request.leg)
        family = request.message.get(REQUESTED_ADDRESS_FAMILY)
        is_ipv6 = family == FAMILY_IPV6
        if family is not None and (family not in (FAMILY_IPV4, FAMILY_IPV6) or is_ipv6 not in allocation.sockets):
            raise RefusedError(StunError.PEER_ADDRESS_FAMILY_MISMATCH, "no relayed address of this family")
        requested_s = request.message.get(LIFETIME)
        if requested_s == 0:
            if family is not None and len(allocation.sockets) > 1:
                self._table.remove_family(allocation, is_ipv6, request.now)
            else:
                self._table.remove(allocation, EndReason.RELEASED, request.now)
            return (LIFETIME(0),)
        lifetime_s = granted_lifetime_s(requested_s)
        self._table.refresh(allocation, request.now + lifetime_s)
        if ticket is None or not allocation.ticket:
            return (LIFETIME(lifetime_s),)
        self._table.issue_ticket(allocation, new_ticket(self._random_bytes))
        return (LIFETIME(lifetime_s), MOBILITY_TICKET(allocation.ticket))
