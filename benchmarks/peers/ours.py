"""This toolkit: ``p2p serve``, ``p2p expose`` and ``p2p connect`` as they ship."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness.place import DIALER, EXPOSER, SERVER, Place
from benchmarks.harness.program import Program
from benchmarks.peers.base import Tunnel, free_port, package_version

PROGRAM = (sys.executable, "-c", "import sys; sys.argv[0] = 'p2p'; from p2p.cli.main import run; run()")


COMPILED = {"PYTHONDONTWRITEBYTECODE": ""}
"""As installed: compiled once, whatever this shell prefers for its checkouts."""


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the servers are."""

    url: str
    """The rendezvous."""
    stun: str
    """STUN, with a second address."""


@contextmanager
def serving(place: Place, folder: Path) -> Iterator[Servers]:
    """Run ``p2p serve``: a rendezvous that admits anybody, STUN and a relay."""
    http_port, stun_port = free_port(), free_port()
    listed = ", ".join(f'"{address}"' for address in place.server_addresses)
    config = folder / "serve.toml"
    config.write_text(
        f"[serve]\nlisten = [{listed}]\nhttp_port = {http_port}\nstun_port = {stun_port}\n"
        "open = true\ndanger_allow_private_peers = true\n",
        encoding="ascii",
    )
    with start(place, SERVER, folder, "serve", "--config", str(config)) as server:
        server.wait_for("p2p connect TICKET")
        address = place.server_addresses[0]
        yield Servers(f"ws://{address}:{http_port}", f"{address}:{stun_port}")


class Ours:
    """The three programs, with a rendezvous that admits anybody.

    Args:
        name: What the results call it.
        flags: More flags for both peers.
        path: The path that the session must be on before anything is measured.
        kind: What stands before a port: ``udp:`` for datagrams.
    """

    def __init__(
        self, name: str = "ours", flags: tuple[str, ...] = (), path: str = "direct", *, kind: str = ""
    ) -> None:
        self.name = name
        self._kind = kind
        self._flags = flags
        self._path = path

    def missing(self) -> str | None:
        """See ``Peer``."""
        return None

    def version(self) -> str:
        """See ``Peer``."""
        return package_version("p2p-toolkit")

    @contextmanager
    def tunnel(self, place: Place, service_port: int, folder: Path) -> Iterator[Tunnel]:
        """See ``Peer``."""
        with serving(place, folder) as servers:
            shared = ("--json", "--rendezvous", servers.url, *self._flags)
            with start(place, EXPOSER, folder, "expose", f"{self._kind}{service_port}", *shared) as exposing:
                ticket = json.loads(exposing.wait_for('^{"event": "ready".*')[0])["ticket"]
                listen = f"{self._kind}127.0.0.1:0"
                with start(place, DIALER, folder, "connect", ticket, *shared, "--listen", listen) as dialing:
                    listening = json.loads(dialing.wait_for('^{"event": "listening".*')[0])
                    dialing.wait_for(f'"event": "(path|connected)".*"path": "{self._path}"')
                    dialing.wait_for('"event": "connected"')
                    port = int(listening["address"].rpartition(":")[2])
                    yield Tunnel("127.0.0.1", port, dialing, exposing)


def start(place: Place, host: str, folder: Path, command: str, *arguments: str) -> Program:
    """Start a subcommand with files of its own.

    Args:
        place: Where.
        host: Which of its hosts.
        folder: Gets the program's files and its log.
        command: Such as ``expose``.
        *arguments: What follows.
    """
    home = folder / command
    home.mkdir(exist_ok=True)
    kept = {f"XDG_{kind}_HOME": str(home) for kind in ("CONFIG", "DATA", "STATE", "CACHE")}
    environment = {**kept, **COMPILED, "HOME": str(home), "XDG_RUNTIME_DIR": str(home), "PYTHONUNBUFFERED": "1"}
    line = place.command(host, [*PROGRAM, command, *arguments])
    return Program(line, environment=environment, log=folder / f"{command}.log")


def help_command() -> list[str]:
    """The command whose duration is the start-up time."""
    return [*PROGRAM, "--help"]
