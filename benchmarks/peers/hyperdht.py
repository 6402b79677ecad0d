"""hyperdht, the transport of holesail, with a DHT of its own on the server.

Holesail's own pipes ignore backpressure: it reads a fast source into memory and starves the connection meanwhile. So
the few lines that join sockets are ours, and its figures are those of the transport at its best.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks.harness.place import DIALER, EXPOSER, SERVER, Place
from benchmarks.harness.program import Program
from benchmarks.peers.base import FOREIGN_FOLDER, Tunnel, free_port

_MODULES: Final = FOREIGN_FOLDER / "node" / "node_modules"
_SCRIPT: Final = Path(__file__).with_name("hyperdht.cjs")


class Hyperdht:
    """A connection of hyperdht for each TCP connection, as in holesail."""

    name = "hyperdht"

    def missing(self) -> str | None:
        """See ``Peer``."""
        if shutil.which("node") is None:
            return "node is not installed"
        return None if (_MODULES / "hyperdht").is_dir() else "hyperdht is not installed"

    def version(self) -> str:
        """See ``Peer``."""
        version: str = json.loads((_MODULES / "hyperdht" / "package.json").read_text())["version"]
        return version

    @contextmanager
    def tunnel(self, place: Place, service_port: int, folder: Path) -> Iterator[Tunnel]:
        """See ``Peer``."""
        port = free_port()

        def start(host: str, *arguments: str) -> Program:
            command = place.command(host, ["node", str(_SCRIPT), *arguments])
            return Program(command, environment={"NODE_PATH": str(_MODULES)}, log=folder / f"{arguments[0]}.log")

        with start(SERVER, "dht", place.server_addresses[0]) as dht:
            bootstrap = dht.wait_for(r"bootstrap (\S+)")[1]
            with start(EXPOSER, "expose", bootstrap, str(service_port)) as exposing:
                key = exposing.wait_for(r"key (\w+)")[1]
                with start(DIALER, "connect", bootstrap, key, str(port)) as dialing:
                    dialing.wait_for("listening")
                    yield Tunnel("127.0.0.1", port, dialing, exposing)
