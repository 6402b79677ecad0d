"""What a behaviour discovery sends, and what it tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from p2p.address import TransportAddress
from p2p.proto.stun.nat import NatBehaviour


class SocketDatagram(NamedTuple):
    """Bytes on their way to an address, from one of several sockets.

    Attributes:
        data: The datagram.
        destination: Where it goes.
        socket: From which socket, counted from 0.
    """

    data: bytes
    destination: TransportAddress
    socket: int


@dataclass(frozen=True, slots=True)
class BehaviourUpdated:
    """More is known than before; further tests run."""

    behaviour: NatBehaviour


@dataclass(frozen=True, slots=True)
class BehaviourDiscovered:
    """All tests are over; the machine is done."""

    behaviour: NatBehaviour


BehaviourEvent: TypeAlias = BehaviourUpdated | BehaviourDiscovered
