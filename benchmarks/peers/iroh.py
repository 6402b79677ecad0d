"""iroh: ``dumbpipe``, its authors' own TCP forwarder."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks.harness.place import DIALER, EXPOSER, Place
from benchmarks.harness.program import Program
from benchmarks.peers.base import Tunnel, find, free_port, version_of

_LISTENS_AFTER_S: Final = 6.0
"""Without the internet it gives up looking for a relay after five seconds."""


class Iroh:
    """``dumbpipe listen-tcp`` and ``connect-tcp``; without the internet they meet by the ticket's addresses."""

    name = "iroh"

    def missing(self) -> str | None:
        """See ``Peer``."""
        return None if find("dumbpipe") else "dumbpipe is not installed"

    def version(self) -> str:
        """See ``Peer``."""
        return "dumbpipe " + version_of([str(find("dumbpipe")), "--version"])

    @contextmanager
    def tunnel(self, place: Place, service_port: int, folder: Path) -> Iterator[Tunnel]:
        """See ``Peer``."""
        port, program = free_port(), str(find("dumbpipe"))
        listen = [program, "listen-tcp", "--host", f"127.0.0.1:{service_port}"]
        with Program(place.command(EXPOSER, listen), log=folder / "listen.log") as exposing:
            ticket = exposing.wait_for(r"connect-tcp (\S{60,})", 30)[1]
            connect = [program, "connect-tcp", "--addr", f"127.0.0.1:{port}", ticket]
            with Program(place.command(DIALER, connect), log=folder / "connect.log") as dialing:
                # It says nothing more before it listens.
                dialing.wait_for("using secret key|home relay", 30)
                time.sleep(_LISTENS_AFTER_S)
                yield Tunnel("127.0.0.1", port, dialing, exposing)
