"""Refresh: keeps an allocation, or gives it up. Source: RFC 8656 section 8.2."""

from __future__ import annotations

from p2p.proto.stun.attributes import FAMILY_IPV4, FAMILY_IPV6, LIFETIME, REQUESTED_ADDRESS_FAMILY
from p2p.proto.stun.message import AttributeValue
from relay.core.handlers.lifetimes import granted_lifetime_s
from relay.core.request import RefusedError, Request, StunError
from relay.core.table import AllocationTable, EndReason


class RefreshHandler:
    """Answers Refresh requests.

    Args:
        table: Where allocations are.
    """

    def __init__(self, table: AllocationTable) -> None:
        self._table = table

    def handle(self, request: Request) -> tuple[AttributeValue, ...]:
        """Refresh or end the allocation.

        Args:
            request: Authenticated.

        Returns:
            The attributes of the success response.

        Raises:
            RefusedError: 437, 441 or 443.
        """
        allocation = request.require_allocation()
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
        return (LIFETIME(lifetime_s),)
