"""How ``p2p status`` finds the sessions of this machine: each process answers on a Unix socket of its own.

The socket is ``<runtime folder>/<pid>.sock``, in a folder only its owner can enter. Whoever connects gets one JSON
object and the end of the stream. Nothing is written while nobody asks.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from p2p import defaults

_log = logging.getLogger(__name__)
_CHUNK_BYTES: Final = 65536
_LIMIT_BYTES: Final = 16 << 20
"""No status is that large; whoever sends more is not one of our processes."""


def runtime_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Where the sockets are: ``$P2P_RUNTIME_DIR``, ``$XDG_RUNTIME_DIR/p2p``, or a folder in the user's home.

    Never a shared folder such as ``/tmp``, where someone else could have made it before us.

    Args:
        environ: The environment; None takes the process's.
    """
    environ = os.environ if environ is None else environ
    if configured := environ.get("P2P_RUNTIME_DIR"):
        return Path(configured)
    if session_folder := environ.get("XDG_RUNTIME_DIR"):
        return Path(session_folder) / "p2p"
    import platformdirs

    return platformdirs.user_state_path("p2p") / "run"


class StatusServer:
    """Answers with the present status; an async context manager.

    That the socket cannot be made is logged and otherwise ignored: a status is a convenience, and a read-only
    system must not stop a tunnel.

    Args:
        folder: Where to make the socket.
        describe: Gives what to answer, as JSON values.
    """

    def __init__(self, folder: Path, describe: Callable[[], dict[str, Any]]) -> None:
        self._path = folder / f"{os.getpid()}.sock"
        self._describe = describe
        self._server: asyncio.AbstractServer | None = None

    async def __aenter__(self) -> StatusServer:
        try:
            make_private_folder(self._path.parent)
            # A process that had our pid and crashed left its socket behind.
            self._path.unlink(missing_ok=True)
            loop = asyncio.get_running_loop()
            self._server = await loop.create_unix_server(lambda: _Answer(self._describe), str(self._path))
        except OSError as error:
            _log.warning("no status for `p2p status`: %s: %s", self._path, error)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._server is None:
            return
        self._server.close()
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)


class _Answer(asyncio.Protocol):
    """Writes the status to whoever connects, and hangs up."""

    def __init__(self, describe: Callable[[], dict[str, Any]]) -> None:
        self._describe = describe

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        transport.write(json.dumps(self._describe()).encode())
        transport.close()


def make_private_folder(folder: Path) -> None:
    """Make the folder, and make sure that it is ours alone.

    Raises:
        OSError: It cannot be made, or belongs to someone else.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    facts = folder.stat()
    if facts.st_uid != os.geteuid():
        raise PermissionError(f"{folder} belongs to user {facts.st_uid}")
    if facts.st_mode & 0o077:
        folder.chmod(0o700)


def read_all(folder: Path) -> Iterator[dict[str, Any]]:
    """Ask every process; remove sockets that nobody answers on.

    Args:
        folder: Where the sockets are.

    Yields:
        What each process answered, oldest pid first.
    """
    for path in sorted(folder.glob("*.sock"), key=lambda found: (len(found.name), found.name)):
        try:
            answer = json.loads(_ask(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            continue
        except (OSError, ValueError) as error:
            _log.warning("%s: %s", path, error)
            continue
        if isinstance(answer, dict):
            yield answer


def _ask(path: Path) -> bytes:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(defaults.STATUS_QUERY_TIMEOUT_S)
        connection.connect(str(path))
        answer = bytearray()
        while chunk := connection.recv(_CHUNK_BYTES):
            answer += chunk
            if len(answer) > _LIMIT_BYTES:
                raise ValueError("an answer without end")
        return bytes(answer)
