"""What becomes of a port that a router was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from p2p.proto.portmap.errors import PortMappingError
from p2p.proto.portmap.mapping import PortMapping


@dataclass(frozen=True, slots=True)
class PortMapped:
    """The router forwards a port, for the first time or from another outside address than before."""

    mapping: PortMapping


@dataclass(frozen=True, slots=True)
class PortMappingLost:
    """The router forwards a port no longer, as far as we know."""

    mapping: PortMapping
    error: PortMappingError


@dataclass(frozen=True, slots=True)
class PortControlFailed:
    """The router refuses, or speaks neither protocol. A late answer is heard all the same."""

    error: PortMappingError


@dataclass(frozen=True, slots=True)
class PortUnmapped:
    """What ``stop`` asked for is done, or not worth waiting for any longer."""


PortControlEvent: TypeAlias = PortMapped | PortMappingLost | PortControlFailed | PortUnmapped
