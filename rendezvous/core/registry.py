"""Who is online and what they offer.

The interface is asynchronous so that a store shared by several servers can take the place of memory; a member
is then a stand-in that passes messages on to the server that holds the connection.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from p2p.identity import PeerId
from p2p.proto.signalling.codes import SignallingCode
from rendezvous.core.refusal import Refusal


class Seat(NamedTuple):
    """One program of a peer: what a connection occupies, and a signal is addressed to."""

    peer_id: PeerId
    instance: str = ""


class Member(Protocol):
    """A logged-in connection, wherever it is."""

    async def deliver(self, message: bytes) -> bool:
        """Send an encoded message.

        Returns:
            Whether it is on its way; False when the connection is gone or cannot take more.
        """
        ...

    def dismiss(self, code: SignallingCode, detail: str) -> None:
        """Tell the client why, and close. Returns at once."""
        ...


@dataclass(slots=True)
class Presence:
    """One peer that is online.

    Attributes:
        member: Its connection.
        services: What it offers.
    """

    member: Member
    services: set[str] = field(default_factory=set)


class Registry(Protocol):
    """Presence of peers' programs. A seat has one member at a time, the latest."""

    async def claim(self, seat: Seat, member: Member) -> Member | None:
        """Make a member the seat's connection, with nothing on offer yet.

        Returns:
            The member it replaces, for the caller to dismiss.
        """
        ...

    async def release(self, seat: Seat, member: Member) -> None:
        """Free the seat, unless another member has replaced this one."""
        ...

    async def publish(self, seat: Seat, member: Member, service: str) -> None:
        """Put a service on offer; to do it twice changes nothing.

        Raises:
            Refusal: Another member has replaced this one, or the peer offers as much as it may.
        """
        ...

    async def unpublish(self, seat: Seat, member: Member, service: str) -> None:
        """Withdraw a service; one that is not on offer changes nothing."""
        ...

    async def find(self, seat: Seat) -> Presence | None:
        """Look a seat up; the answer is for reading."""
        ...

    def __len__(self) -> int:
        """How many seats are taken."""
        ...


class MemoryRegistry:
    """The registry of a single server.

    Args:
        services_per_peer: How many services a peer may offer at once.
    """

    def __init__(self, *, services_per_peer: int) -> None:
        self._services_per_peer = services_per_peer
        self._online: dict[Seat, Presence] = {}

    async def claim(self, seat: Seat, member: Member) -> Member | None:
        """See ``Registry``."""
        previous = self._online.get(seat)
        self._online[seat] = Presence(member)
        return previous.member if previous else None

    async def release(self, seat: Seat, member: Member) -> None:
        """See ``Registry``."""
        if self._owned(seat, member):
            del self._online[seat]

    async def publish(self, seat: Seat, member: Member, service: str) -> None:
        """See ``Registry``."""
        presence = self._owned(seat, member)
        if presence is None:
            raise Refusal(SignallingCode.TAKEN_OVER, "this key has logged in elsewhere")
        if service not in presence.services and len(presence.services) >= self._services_per_peer:
            raise Refusal(SignallingCode.TOO_MANY, f"at most {self._services_per_peer} services a peer")
        presence.services.add(service)

    async def unpublish(self, seat: Seat, member: Member, service: str) -> None:
        """See ``Registry``."""
        presence = self._owned(seat, member)
        if presence is not None:
            presence.services.discard(service)

    async def find(self, seat: Seat) -> Presence | None:
        """See ``Registry``."""
        return self._online.get(seat)

    def __len__(self) -> int:
        return len(self._online)

    def _owned(self, seat: Seat, member: Member) -> Presence | None:
        presence = self._online.get(seat)
        return presence if presence is not None and presence.member is member else None
