"""What becomes of direct messages."""

from __future__ import annotations

from dataclasses import dataclass, field

from p2p.address import TransportAddress


@dataclass(frozen=True, slots=True)
class LineOpened:
    """Somebody with the ticket has answered our call."""

    address: TransportAddress


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message is complete; its sender has proven to be at the address, and no more than that."""

    address: TransportAddress
    message: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Delivered:
    """The receiver has all of a message."""

    address: TransportAddress
    number: int


@dataclass(frozen=True, slots=True)
class Undelivered:
    """A message was given up: the address is silent, or too many wait for it."""

    address: TransportAddress
    number: int


DirectEvent = LineOpened | Arrived | Delivered | Undelivered
