"""How the programs under test are started: every flag, file and port that the lab takes for granted is in here."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .errors import LabError
from .plan import SERVER_ADDRESSES, SERVER_ADDRESSES6

_REPOSITORY: Final = Path(__file__).resolve().parent.parent.parent
# Networks that block UDP let this port through.
RENDEZVOUS_PORT: Final = 80
RENDEZVOUS_URL: Final = f"http://{SERVER_ADDRESSES[0]}"
RENDEZVOUS_URL6: Final = f"http://[{SERVER_ADDRESSES6[0]}]"
LISTEN_ADDRESS: Final = "127.0.0.1"
# Peers in a lab have addresses that are set aside for documentation, to which a relay does not send by default.
_SERVER_CONFIG: Final = """\
[serve]
listen = [{addresses}]
public_address = [{addresses}]
http_port = {port}
open = true
danger_allow_private_peers = true
"""


def find_program() -> tuple[str, ...]:
    """Find the ``p2p`` command: the repository's own, else the one on the path.

    Raises:
        LabError: There is none.
    """
    own = _REPOSITORY / ".venv" / "bin" / "p2p"
    found = str(own) if own.is_file() else shutil.which("p2p")
    if found is None:
        raise LabError("the program 'p2p' is not installed", "Install the repository, or give --p2p COMMAND.")
    return (found,)


@dataclass(frozen=True, slots=True)
class Programs:
    """Command lines of the programs under test.

    Attributes:
        command: What every command line begins with.
        folder: Where their files go; each program gets a home of its own in there.
        flags: More flags for `expose` and `connect`.
        ipv6: Whether the lab has IPv6.
    """

    command: tuple[str, ...]
    folder: Path
    flags: tuple[str, ...] = ()
    ipv6: bool = False

    def environment(self, name: str) -> Mapping[str, str]:
        """Make the environment of a program, so that it finds no file of anybody else.

        Args:
            name: What to call the program's home.
        """
        home = self.folder / name
        home.mkdir(mode=0o700, exist_ok=True)
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("P2P_", "XDG_"))}
        folders = {f"XDG_{kind}_HOME": str(home / kind.lower()) for kind in ("CONFIG", "DATA", "STATE", "CACHE")}
        return {**kept, **folders, "HOME": str(home), "XDG_RUNTIME_DIR": str(home), "PYTHONUNBUFFERED": "1"}

    def serve(self) -> list[str]:
        """The command line of the server; writes its configuration."""
        config = self.folder / "serve.toml"
        addresses = (*SERVER_ADDRESSES, *(SERVER_ADDRESSES6 if self.ipv6 else ()))
        quoted = ", ".join(f'"{address}"' for address in addresses)
        config.write_text(_SERVER_CONFIG.format(addresses=quoted, port=RENDEZVOUS_PORT))
        return [*self.command, "serve", "--config", str(config)]

    def expose(self, target: int | str, *, by_ipv6: bool = False, has_server: bool = True) -> list[str]:
        """The command line of the exposing side.

        Args:
            target: The service's port on its own host, or whatever else `expose` takes.
            by_ipv6: Whether it reaches the server by IPv6.
            has_server: Whether there is one.
        """
        url = RENDEZVOUS_URL6 if by_ipv6 else RENDEZVOUS_URL
        where = ["--rendezvous", url] if has_server else ["--lan"]
        return [*self.command, "expose", str(target), "--json", *where, *self.flags]

    def connect(self, ticket: str, *, by_ipv6: bool | None = None, listen: str = f"{LISTEN_ADDRESS}:0") -> list[str]:
        """The command line of the dialing side.

        Args:
            ticket: What the exposing side gave out.
            by_ipv6: Whether it reaches the server by IPv6; None for the way that the ticket names.
            listen: Where the service appears.
        """
        way = [] if by_ipv6 is None else ["--rendezvous", RENDEZVOUS_URL6 if by_ipv6 else RENDEZVOUS_URL]
        return [*self.command, "connect", ticket, "--json", "--listen", listen, *way, *self.flags]
