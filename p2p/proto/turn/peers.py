"""What an allocation holds for its peers: permissions and channels, and when each must be refreshed."""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from p2p.address import TransportAddress
from p2p.defaults import (
    TURN_CHANNEL_REFRESH_S,
    TURN_PERMISSION_REFRESH_S,
    TURN_PERMISSIONS_PER_REQUEST,
    TURN_REFRESH_TOGETHER_S,
    TURN_REFUSED_AGAIN_MAX_S,
    TURN_REFUSED_AGAIN_S,
)
from p2p.errors import LocalProtocolError
from p2p.proto.stun.attributes import CHANNEL_NUMBER, XOR_PEER_ADDRESS
from p2p.proto.stun.message import Message, Method
from p2p.proto.turn.channel_data import FIRST_CHANNEL, LAST_CHANNEL
from p2p.proto.turn.events import (
    AllocationEvent,
    ChannelBound,
    ChannelFailed,
    PermissionCreated,
    PermissionFailed,
    RequestFailure,
)
from p2p.proto.turn.requests import Request, RequestTable

_ALLOCATION_MISMATCH: Final = 437
_FORBIDDEN: Final = 403


class Installation(enum.Enum):
    """How far a permission or channel has got."""

    WANTED = enum.auto()
    """Not asked for yet."""
    ASKED = enum.auto()
    """The first request is on its way."""
    INSTALLED = enum.auto()
    """The relay has it; refreshed from time to time."""
    REFRESHING = enum.auto()
    """The relay has it and is being asked again."""
    REFUSED = enum.auto()
    """The relay does not want it now: perhaps the peer has not reached its server yet, after that has restarted."""


@dataclass(slots=True)
class Permission:
    """The right of one IP address to send to us through the relay.

    Attributes:
        peers: The addresses it was asked for, with this IP address.
        state: How far it has got.
        refresh_at: The monotonic instant to ask for it again; counts when installed or refused.
        refusals: How often in a row it was refused.
    """

    peers: list[TransportAddress] = field(default_factory=list)
    state: Installation = Installation.WANTED
    refresh_at: float = 0.0
    refusals: int = 0


@dataclass(slots=True)
class Channel:
    """A number that stands for a peer.

    Attributes:
        peer: The peer.
        number: 0x4000 to 0x4FFF. It stays the peer's for as long as the allocation lives: the relay may not give it
            to another within five minutes, and 4,096 are enough.
        state: How far it has got.
        refresh_at: The monotonic instant to ask for it again; counts when installed.
        wanted: Whether it is to be kept.
    """

    peer: TransportAddress
    number: int
    state: Installation = Installation.WANTED
    refresh_at: float = 0.0
    wanted: bool = True

    @property
    def usable(self) -> bool:
        """Whether data may be sent on it."""
        return self.state in (Installation.INSTALLED, Installation.REFRESHING)


class PeerRequests:
    """The permissions and channels of one allocation, and the requests that keep them; a part of ``AllocationClient``.

    Args:
        requests: Where requests are submitted.
        events: Where events are put.
        lost: Called when the relay says that it has no such allocation.
    """

    def __init__(self, requests: RequestTable, events: deque[AllocationEvent], lost: Callable[[], None]) -> None:
        self._requests = requests
        self._events = events
        self._lost = lost
        self._permissions: dict[str, Permission] = {}
        self._channels: dict[TransportAddress, Channel] = {}
        self._by_number: dict[int, Channel] = {}

    # --- What is wanted ------------------------------------------------------------------------------------
    def want_permission(self, peer: TransportAddress) -> None:
        """Note that a peer needs a permission; when its IP address has one, say so at once."""
        permission = self._permissions.setdefault(peer.host, Permission())
        if peer not in permission.peers:
            permission.peers.append(peer)
        if permission.state in (Installation.INSTALLED, Installation.REFRESHING):
            self._events.append(PermissionCreated(peer))
        elif permission.state is Installation.REFUSED:
            permission.state, permission.refusals = Installation.WANTED, 0

    def want_channel(self, peer: TransportAddress) -> None:
        """Note that a peer needs a channel; when it has one, say so at once.

        Raises:
            LocalProtocolError: All channel numbers are taken.
        """
        channel = self._channels.get(peer)
        if channel is None:
            number = FIRST_CHANNEL + len(self._channels)
            if number > LAST_CHANNEL:
                raise LocalProtocolError("all channel numbers of the allocation are in use")
            channel = self._channels[peer] = self._by_number[number] = Channel(peer, number)
        channel.wanted = True
        if channel.usable:
            self._events.append(ChannelBound(peer, channel.number))

    def release(self, peer: TransportAddress) -> None:
        """Stop refreshing the peer's channel, and its permission unless another peer needs that."""
        channel = self._channels.get(peer)
        if channel is not None:
            channel.wanted = False
        permission = self._permissions.get(peer.host)
        if permission is not None and peer in permission.peers:
            permission.peers.remove(peer)
            if not permission.peers:
                del self._permissions[peer.host]

    # --- What there is -------------------------------------------------------------------------------------
    def permits(self, peer: TransportAddress) -> bool:
        """Whether a permission for the peer's IP address was asked for, and not refused."""
        permission = self._permissions.get(peer.host)
        return permission is not None and permission.state is not Installation.REFUSED

    def channel_number(self, peer: TransportAddress) -> int | None:
        """Return the number of the channel that may be used to a peer now, or None."""
        channel = self._channels.get(peer)
        return channel.number if channel is not None and channel.usable else None

    def channel_peer(self, number: int) -> TransportAddress | None:
        """Return the peer of a channel, also before the relay's answer: data may overtake it."""
        channel = self._by_number.get(number)
        return channel.peer if channel is not None else None

    def get_timer(self) -> float | None:
        """When ``ask`` must be called next, or None."""
        awaited = (Installation.INSTALLED, Installation.REFUSED)
        times = [p.refresh_at for p in self._permissions.values() if p.state in awaited]
        times += [c.refresh_at for c in self._channels.values() if c.state is Installation.INSTALLED]
        return min(times, default=None)

    # --- Asking --------------------------------------------------------------------------------------------
    def ask(self, now: float) -> None:
        """Send the requests for what is new or due.

        Args:
            now: The monotonic instant in seconds.
        """
        self._ask_for_permissions(now)
        for channel in self._channels.values():
            due = channel.state is Installation.INSTALLED and channel.refresh_at <= now
            if channel.wanted and (due or channel.state is Installation.WANTED):
                channel.state = Installation.REFRESHING if due else Installation.ASKED
                self._submit_channel(channel, now)
            elif due:
                # Released: it lives on at the relay for another minute, but is used no more.
                channel.state = Installation.WANTED

    def _ask_for_permissions(self, now: float) -> None:
        """Ask for new ones each alone, so that one refused does not hold up another, and refresh together."""
        due = []
        is_time = False
        for host, permission in self._permissions.items():
            is_due_again = permission.state is Installation.REFUSED and permission.refresh_at <= now
            if permission.state is Installation.WANTED or is_due_again:
                permission.state = Installation.ASKED
                self._submit_permissions([host], now)
            elif permission.state is Installation.INSTALLED and permission.refresh_at <= now + TURN_REFRESH_TOGETHER_S:
                due.append(host)
                is_time = is_time or permission.refresh_at <= now
        if not is_time:
            return
        for start in range(0, len(due), TURN_PERMISSIONS_PER_REQUEST):
            batch = due[start : start + TURN_PERMISSIONS_PER_REQUEST]
            for host in batch:
                self._permissions[host].state = Installation.REFRESHING
            self._submit_permissions(batch, now)

    def _submit_permissions(self, hosts: list[str], now: float) -> None:
        self._requests.submit(
            Request(
                method=Method.CREATE_PERMISSION,
                attributes=tuple(XOR_PEER_ADDRESS(self._permissions[host].peers[0]) for host in hosts),
                succeeded=partial(self._permitted, hosts),
                failed=partial(self._permission_failed, hosts),
            ),
            now,
        )

    def _submit_channel(self, channel: Channel, now: float) -> None:
        self._requests.submit(
            Request(
                method=Method.CHANNEL_BIND,
                attributes=(CHANNEL_NUMBER(channel.number), XOR_PEER_ADDRESS(channel.peer)),
                succeeded=partial(self._bound, channel),
                failed=partial(self._bind_failed, channel),
            ),
            now,
        )

    # --- Answers -------------------------------------------------------------------------------------------
    def _still_wanted(self, hosts: list[str]) -> list[Permission]:
        return [self._permissions[host] for host in hosts if host in self._permissions]

    def _permitted(self, hosts: list[str], _: Message, now: float) -> None:
        for permission in self._still_wanted(hosts):
            if permission.state is Installation.ASKED:
                self._events.extend(PermissionCreated(peer) for peer in permission.peers)
            permission.state = Installation.INSTALLED
            permission.refusals = 0
            permission.refresh_at = now + TURN_PERMISSION_REFRESH_S

    def _permission_failed(self, hosts: list[str], failure: RequestFailure, now: float) -> None:
        if failure.stun_code == _ALLOCATION_MISMATCH:
            self._lost()
            return
        wanted = self._still_wanted(hosts)
        if len(hosts) > 1 and failure.stun_code is not None:
            # One address that the relay's policy no longer likes refuses them all: ask for each alone.
            for permission in wanted:
                permission.state = Installation.WANTED
            self._ask_for_permissions(now)
            return
        for permission in wanted:
            if not permission.refusals:
                self._events.extend(PermissionFailed(peer, failure.error) for peer in permission.peers)
        for host in hosts:
            refused = self._permissions.get(host)
            if failure.stun_code == _FORBIDDEN and refused is not None:
                wait_s = min(TURN_REFUSED_AGAIN_MAX_S, TURN_REFUSED_AGAIN_S * 2**refused.refusals)
                refused.state, refused.refresh_at = Installation.REFUSED, now + wait_s
                refused.refusals += 1
            else:
                self._permissions.pop(host, None)

    def _bound(self, channel: Channel, _: Message, now: float) -> None:
        if channel.state is Installation.ASKED:
            self._events.append(ChannelBound(channel.peer, channel.number))
        channel.state = Installation.INSTALLED
        channel.refresh_at = now + TURN_CHANNEL_REFRESH_S

    def _bind_failed(self, channel: Channel, failure: RequestFailure, _: float) -> None:
        if failure.stun_code == _ALLOCATION_MISMATCH:
            self._lost()
            return
        channel.state = Installation.WANTED
        channel.wanted = False
        self._events.append(ChannelFailed(channel.peer, failure.error))
