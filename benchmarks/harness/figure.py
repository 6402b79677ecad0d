"""What a figure is, and what it gets to measure with."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks.harness.place import DIALER, EXPOSER, Place
from benchmarks.harness.program import Program
from benchmarks.peers.base import Peer, Tunnel

_PROGRAMS = {
    "source": "benchmarks.harness.traffic",
    "echo": "benchmarks.harness.traffic",
    "datagrams": "benchmarks.harness.datagrams",
    "send": "benchmarks.harness.datagrams",
}
"""Which program has a service or a client; the first is the usual one."""


def _program(what: str) -> list[str]:
    return [sys.executable, "-m", _PROGRAMS.get(what, _PROGRAMS["source"])]


@dataclass(frozen=True, slots=True)
class Bench:
    """One measurement's surroundings."""

    place: Place
    peer: Peer
    folder: Path
    """Empty at first; for this measurement alone."""
    seconds: float
    """How long to measure what flows."""

    @contextmanager
    def tunnel(self, service: Literal["source", "echo", "datagrams"]) -> Iterator[Tunnel]:
        """Start the services, and open the peer's way to one of them."""
        command = self.place.command(EXPOSER, [*_program(service), "serve", "--host", self.place.service_address])
        with Program(command, log=self.folder / "services.log") as services:
            port = json.loads(services.wait_for("^{.*}")[0])[service]
            with self.peer.tunnel(self.place, port, self.folder) as tunnel:
                yield tunnel

    @contextmanager
    def client(self, what: str, tunnel: Tunnel, **options: float | str) -> Iterator[Program]:
        """Start a client on the dialer, at the tunnel's near end."""
        arguments = [what, str(tunnel.port), "--host", tunnel.host]
        for name, value in options.items():
            arguments += [f"--{name.replace('_', '-')}", value if isinstance(value, str) else f"{value:g}"]
        command = self.place.command(DIALER, [*_program(what), *arguments])
        with Program(command, log=self.folder / f"{what}.log") as client:
            yield client

    def ask(self, what: str, tunnel: Tunnel, **options: float | str) -> dict[str, Any]:
        """Run a client to its end and return what it found."""
        with self.client(what, tunnel, **options) as client:
            return result_of(client)


def result_of(client: Program) -> dict[str, Any]:
    """Wait for a client's result."""
    result: dict[str, Any] = json.loads(client.wait_for(r"^\{.*\}", 90)[0])
    return result


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """Something that is measured the same way for every peer."""

    name: str
    """Short, for the command line and the JSON."""
    title: str
    """A line for the table."""
    unit: str
    better: Literal["higher", "lower"]
    peers: tuple[str, ...]
    """Names of those it makes sense for, ours first."""
    measure: Callable[[Bench], float]
    """One run; raises ``BenchmarkError`` when the peer fails."""
    seconds: float = 3.0
    """How long a run's traffic lasts unless told otherwise."""
