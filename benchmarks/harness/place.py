"""Where a measurement happens: everything on loopback, or three hosts in namespaces that veth pairs join."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

ROOT = Path(__file__).resolve().parents[2]
SERVER = "server"
EXPOSER = "exposer"
DIALER = "dialer"


class Place(Protocol):
    """Three hosts: ``server``, ``exposer``, ``dialer``."""

    name: str
    server_addresses: tuple[str, ...]
    """How the other two reach the server."""
    exposer_address: str
    """How the dialer reaches the exposer without any help."""
    service_address: str
    """Where services listen on the exposer: reachable for the exposer itself and for the dialer."""

    def command(self, host: str, arguments: Sequence[str]) -> list[str]:
        """Make the command line that runs a program on a host."""
        ...


class Loopback:
    """This machine, three times."""

    name = "loopback"
    server_addresses: tuple[str, ...] = ("127.0.0.1", "127.0.0.2")
    exposer_address = "127.0.0.1"
    service_address = "127.0.0.1"

    def command(self, host: str, arguments: Sequence[str]) -> list[str]:
        """See ``Place``."""
        return list(arguments)


class Namespaces:
    """A lab: dialer and exposer in one LAN, the server on the internet behind its router; no delay.

    Args:
        lab: It is up.
        server_addresses: The server's.
        exposer_address: The exposer's in the LAN.
    """

    name = "namespaces"
    service_address = "0.0.0.0"

    def __init__(self, lab: object, server_addresses: tuple[str, ...], exposer_address: str) -> None:
        self._lab = lab
        self.server_addresses = server_addresses
        self.exposer_address = exposer_address

    def command(self, host: str, arguments: Sequence[str]) -> list[str]:
        """See ``Place``."""
        name = {SERVER: "srv", EXPOSER: "lan1", DIALER: "lan2"}[host]
        return ["ip", "netns", "exec", self._lab.namespace(name), *arguments]  # type: ignore[attr-defined]


@contextmanager
def place_named(name: str) -> Iterator[Place]:
    """Make a place, and take it down at the end of the block.

    Args:
        name: ``loopback``, or ``namespaces``, which needs root.
    """
    if name == Loopback.name:
        yield Loopback()
        return
    sys.path.insert(0, str(ROOT / "netns-scripts"))
    from natlab.lab import Lab  # type: ignore[import-not-found]
    from natlab.plan import SERVER_ADDRESSES  # type: ignore[import-not-found]
    from natlab.topology import Router, Topology  # type: ignore[import-not-found]

    topology = Topology(name="bench", ipv6=False, routers=(Router(name="lan", kind="full", hosts=2),))
    with Lab.up(topology, prefix=f"bench{os.getpid()}") as lab:
        yield Namespaces(lab, SERVER_ADDRESSES, lab.address("lan1"))
