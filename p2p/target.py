"""Where services are: on the exposing side the real ones, on the connecting side those that we put there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias


@dataclass(frozen=True, slots=True)
class TcpTarget:
    """A TCP port."""

    host: str
    """A host name or an IP address."""
    port: int
    """1 to 65,535; 0 for a free one to listen on."""

    def __str__(self) -> str:
        return _join(self.host, self.port)


@dataclass(frozen=True, slots=True)
class UdpTarget:
    """A UDP port."""

    host: str
    """A host name or an IP address."""
    port: int
    """1 to 65,535; 0 for a free one to listen on."""

    def __str__(self) -> str:
        return f"udp:{_join(self.host, self.port)}"


@dataclass(frozen=True, slots=True)
class UnixTarget:
    """A Unix domain socket for byte streams."""

    path: str
    """The socket's file; a name that begins with ``@`` is in Linux's abstract namespace instead."""

    @property
    def address(self) -> str:
        """The address as ``socket`` takes it."""
        return f"\0{self.path[1:]}" if self.path.startswith("@") else self.path

    @property
    def is_abstract(self) -> bool:
        """Whether there is no file."""
        return self.path.startswith("@")

    def __str__(self) -> str:
        return f"unix:{self.path}"


@dataclass(frozen=True, slots=True)
class FolderTarget:
    """A folder, which the exposing side serves itself."""

    path: str
    """The folder, from the root."""

    def __str__(self) -> str:
        return self.path


Target: TypeAlias = TcpTarget | UdpTarget | UnixTarget
Offered: TypeAlias = Target | FolderTarget
"""What can be put on offer: a service that is there, or one that is made."""


class ServiceRates(NamedTuple):
    """How fast a service may be, in bytes a second; None for no limit.

    Attributes:
        inwards: From the peer to local programs.
        outwards: From local programs to the peer.
    """

    inwards: float | None = None
    outwards: float | None = None


def _join(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
