"""What a figure needs of something that carries TCP connections from one host to another."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from benchmarks.harness.place import ROOT, Place
from benchmarks.harness.program import Program

FOREIGN_FOLDER: Final = Path(os.environ.get("P2P_BENCH_PEERS", ROOT / ".bench-peers"))
"""Where ``benchmarks/install-peers`` puts what no package of the system has."""


@dataclass(frozen=True, slots=True)
class Tunnel:
    """A way that is open."""

    host: str
    """Where the dialer connects to."""
    port: int
    dialing: Program | None = None
    """The program on the dialer, where there is one."""
    exposing: Program | None = None
    """The program on the exposer, where there is one."""
    public: Program | None = None
    """The program that visitors without a program of their own come to, where there is one."""

    @property
    def programs(self) -> tuple[Program, ...]:
        """Those of both ends; for visitors, what they come to is one of them."""
        return tuple(program for program in (self.dialing, self.exposing, self.public) if program is not None)


class Peer(Protocol):
    """One way to carry connections: a program of ours, of others, or the kernel alone."""

    name: str

    def missing(self) -> str | None:
        """Why it cannot run here; None if it can."""
        ...

    def version(self) -> str:
        """Which version it is."""
        ...

    def tunnel(self, place: Place, service_port: int, folder: Path) -> AbstractContextManager[Tunnel]:
        """Open a way to a service of the exposer, until the end of the block.

        Args:
            place: Where.
            service_port: The service's port on the exposer.
            folder: For configuration, keys and logs.

        Raises:
            BenchmarkError: It did not come up.
        """
        ...


def find(program: str) -> str | None:
    """Find a program among what was installed for comparison, else on the path."""
    own = FOREIGN_FOLDER / "bin" / program
    return str(own) if own.is_file() else shutil.which(program)


def version_of(command: Sequence[str], pattern: str = r"\d+(\.\d+)+\S*") -> str:
    """Ask a program for its version."""
    done = subprocess.run(list(command), capture_output=True, text=True, check=False)
    match = re.search(pattern, done.stdout + done.stderr)
    return match[0] if match else "unknown"


def package_version(name: str) -> str:
    """Tell the version of an installed Python package."""
    return importlib.metadata.version(name)


def free_port() -> int:
    """Find a port that is free now, below those that the system gives to others."""
    # Some servers take the port behind theirs too.
    for port in range(20_000 + os.getpid() % 1_000 * 10, 32_000, 3):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            if port not in _given:
                _given.add(port)
                return port
    raise OSError("no free port")


@contextmanager
def opened(tunnel: Tunnel) -> Iterator[Tunnel]:
    """Make a context manager of a way that needs no closing."""
    yield tunnel


_given: set[int] = set()
