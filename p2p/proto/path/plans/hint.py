"""What the two sides tell each other about ports, in ``Trickle.guess``."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, TypeGuard

from p2p.defaults import GUESS_PORT_FIRST, GUESS_PORT_LAST, GUESS_ROUNDS
from p2p.errors import DecodeError

MAX_PORTS: Final = 128
"""In one hint: more than any window, 1 KiB of JSON."""


class HintKind(StrEnum):
    """How the ports of a hint are meant."""

    WINDOW = "window"
    """The sender has doors open at some of these: try them all."""
    RANGE = "range"
    """The sender has doors open somewhere from the first to the second port: try at random."""
    NEXT = "next"
    """The sender's next packets will leave from these, in this order."""
    WAIT = "wait"
    """The sender cannot try the range that it was told: others come first. The ports are that range again."""
    TURN = "turn"
    """The sender begins to try the range now."""


@dataclass(frozen=True, slots=True)
class PortHint:
    """Where a hard side can be met.

    Attributes:
        kind: How to read the ports.
        round: Counts from 1; a later round makes those before void.
        host: The sender's outside address, IPv4.
        ports: See ``HintKind``.
    """

    kind: HintKind
    round: int
    host: str
    ports: tuple[int, ...]

    def to_wire(self) -> dict[str, Any]:
        """The hint as JSON values."""
        return {"kind": self.kind.value, "round": self.round, "host": self.host, "ports": list(self.ports)}

    @classmethod
    def from_wire_untrusted(cls, value: object) -> PortHint:
        """Read the peer's hint.

        Args:
            value: What ``to_wire`` gave at the other side, after JSON.

        Raises:
            DecodeError: It is none.
        """
        if not isinstance(value, Mapping):
            raise DecodeError("a port hint is an object")
        kind = next((kind for kind in HintKind if kind.value == value.get("kind")), None)
        ports, number, host = value.get("ports"), value.get("round"), value.get("host")
        if kind is None or not _is_number(number, 1, GUESS_ROUNDS):
            raise DecodeError("a port hint of an unknown kind or round")
        if not isinstance(ports, list) or not 1 <= len(ports) <= MAX_PORTS:
            raise DecodeError(f"a port hint has 1 to {MAX_PORTS} ports")
        if not all(_is_number(port, GUESS_PORT_FIRST, GUESS_PORT_LAST) for port in ports):
            raise DecodeError("a port hint names what is no port of a NAT")
        if kind not in (HintKind.WINDOW, HintKind.NEXT) and (len(ports) != 2 or ports[0] > ports[1]):
            raise DecodeError("a range has a first and a last port")
        try:
            host = str(ipaddress.IPv4Address(host))
        except ValueError as error:
            raise DecodeError("a port hint needs an IPv4 address") from error
        return cls(kind, number, host, tuple(ports))


def _is_number(value: object, least: int, most: int) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
