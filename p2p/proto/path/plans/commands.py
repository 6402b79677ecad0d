"""What a plan wants done, in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from p2p.address import TransportAddress
from p2p.proto.path.plans.hint import PortHint

MAIN_SOCKET: Final = -1
"""The socket whose mapped address the peer was told; others are counted from 0 and never used again."""


@dataclass(frozen=True, slots=True)
class OpenSocket:
    """Open a UDP socket on a port of the system's choice. When that fails, all that is to be sent from it is not."""

    socket: int


@dataclass(frozen=True, slots=True)
class CloseSocket:
    """Close a socket, and forget the pairs on it."""

    socket: int


@dataclass(frozen=True, slots=True)
class SendCheck:
    """Send a connectivity check, made by ``IceAgent.probe``."""

    socket: int
    destination: TransportAddress


@dataclass(frozen=True, slots=True)
class AskServer:
    """Send a question to a STUN server."""

    socket: int
    server: TransportAddress
    data: bytes


@dataclass(frozen=True, slots=True)
class TellPeer:
    """Send a hint through the rendezvous."""

    hint: PortHint


Command: TypeAlias = OpenSocket | CloseSocket | SendCheck | AskServer | TellPeer
