"""CreatePermission and ChannelBind: let peers in. Source: RFC 8656 sections 10.2 and 12.2."""

from __future__ import annotations

from typing import Final

from p2p.address import TransportAddress
from p2p.defaults import RELAY_MAX_CHANNELS, RELAY_MAX_PERMISSIONS
from p2p.proto.stun.attributes import CHANNEL_NUMBER, XOR_PEER_ADDRESS
from p2p.proto.stun.message import AttributeValue
from relay.core.allocation import Allocation
from relay.core.policy import PeerForbiddenError, PeerPolicy
from relay.core.request import RefusedError, Request, StunError
from relay.core.table import AllocationTable

CHANNEL_NUMBER_FIRST: Final = 0x4000
CHANNEL_NUMBER_LAST: Final = 0x7FFF
"""Deviation: RFC 8656 section 12 ends at 0x4FFF and reserves the rest, which RFC 5766 gave to channels. Clients of the
older document (coturn's among them) draw from all of it, and nothing else could begin with these bytes here."""


class PeerGate:
    """What handlers ask before they let a peer in.

    Args:
        table: Where allocations are.
        policy: Who may be a peer.
    """

    def __init__(self, table: AllocationTable, policy: PeerPolicy) -> None:
        self._table = table
        self.policy = policy

    def _check(self, allocation: Allocation, peer: TransportAddress) -> None:
        """Raise RefusedError unless the allocation may talk to the peer."""
        if peer.is_ipv6 not in allocation.sockets:
            raise RefusedError(StunError.PEER_ADDRESS_FAMILY_MISMATCH, f"no relayed address for {peer}")
        if allocation.is_neighbour(peer.host):
            return  # data to the relay's own addresses reaches other allocations and nothing else
        try:
            self.policy.check(peer.host, is_renewal=peer.host in allocation.permissions)
        except PeerForbiddenError as error:
            raise RefusedError(StunError.FORBIDDEN, error.detail) from error


class CreatePermissionHandler(PeerGate):
    """Answers CreatePermission requests.

    Args:
        table: Where allocations are.
        policy: Who may be a peer.
    """

    def handle(self, request: Request) -> tuple[AttributeValue, ...]:
        """Install or refresh permissions, all that the request names or none.

        Args:
            request: Authenticated.

        Returns:
            The attributes of the success response: none.

        Raises:
            RefusedError: 400, 403, 437, 441, 443 or 508.
        """
        allocation = request.require_allocation()
        peers = request.message.values(XOR_PEER_ADDRESS)
        if not peers:
            raise RefusedError(StunError.BAD_REQUEST, "no XOR-PEER-ADDRESS")
        for peer in peers:
            self._check(allocation, peer)
        hosts = {peer.host for peer in peers}
        if len(allocation.permissions.keys() | hosts) > RELAY_MAX_PERMISSIONS:
            raise RefusedError(StunError.INSUFFICIENT_CAPACITY, "too many permissions")
        for host in hosts:
            self._table.permit(allocation, host, request.now)
        return ()


class ChannelBindHandler(PeerGate):
    """Answers ChannelBind requests.

    Args:
        table: Where allocations are.
        policy: Who may be a peer.
    """

    def handle(self, request: Request) -> tuple[AttributeValue, ...]:
        """Bind a channel or refresh its binding.

        Args:
            request: Authenticated.

        Returns:
            The attributes of the success response: none.

        Raises:
            RefusedError: 400, 403, 437, 441, 443 or 508.
        """
        allocation = request.require_allocation()
        number, peer = request.message.get(CHANNEL_NUMBER), request.message.get(XOR_PEER_ADDRESS)
        if number is None or peer is None:
            raise RefusedError(StunError.BAD_REQUEST, "a channel needs a number and a peer")
        if allocation.is_tcp:
            raise RefusedError(StunError.FORBIDDEN, "channels carry datagrams only")
        if not CHANNEL_NUMBER_FIRST <= number <= CHANNEL_NUMBER_LAST:
            raise RefusedError(StunError.BAD_REQUEST, f"not a channel number: {number:#06x}")
        bound = allocation.channels.get(number)
        if bound is not None and bound.peer != peer:
            raise RefusedError(StunError.BAD_REQUEST, "the channel is bound to another peer")
        if bound is None and any(channel.peer == peer for channel in allocation.channels.values()):
            raise RefusedError(StunError.BAD_REQUEST, "the peer has another channel")
        self._check(allocation, peer)
        if bound is None and len(allocation.channels) >= RELAY_MAX_CHANNELS:
            raise RefusedError(StunError.INSUFFICIENT_CAPACITY, "too many channels")
        if peer.host not in allocation.permissions and len(allocation.permissions) >= RELAY_MAX_PERMISSIONS:
            raise RefusedError(StunError.INSUFFICIENT_CAPACITY, "too many permissions")
        self._table.bind(allocation, number, peer, request.now)
        return ()
