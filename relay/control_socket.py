"""A Unix socket on which a relay tells how it does and takes commands of its operator.

A client sends one line, the command, and gets one JSON object and the end of the stream. Who may open the socket is
whom the file system lets: it is made for its owner only.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, cast

from p2p.defaults import RELAY_CONTROL_TIMEOUT_S
from p2p.errors import ConnectivityError, ErrorCode, RelayError
from p2p.os_errors import reason_of

logger = logging.getLogger(__name__)

CODE_CONTROL: Final = ErrorCode("P2P-5306", "Choose another path for the relay's control socket.")
CODE_NO_RELAY: Final = ErrorCode("P2P-5307", "Start the relay, or name the control socket of its configuration.")

_COMMAND_MAX_BYTES: Final = 64
_ANSWER_MAX_BYTES: Final = 1 << 20


class ControlSocket:
    """Answers commands inside its ``async with`` block. One event loop, no task.

    Args:
        path: Where the socket is; what a process that died has left there is taken away.
        commands: What each command does; what it returns is the answer.
    """

    def __init__(self, path: Path, commands: Mapping[str, Callable[[], dict[str, Any]]]) -> None:
        self._path = path
        self._commands = commands
        self._server: asyncio.AbstractServer | None = None

    async def __aenter__(self) -> Self:
        """Open the socket.

        Raises:
            ConnectivityError: It cannot be made, or another relay answers there.
        """
        try:
            if _is_answered(self._path):
                raise ConnectivityError(f"{self._path}: a relay answers there already", code=CODE_CONTROL)
            self._path.unlink(missing_ok=True)
            before = os.umask(0o177)
            try:
                loop = asyncio.get_running_loop()
                self._server = await loop.create_unix_server(lambda: _Conversation(self._commands), self._path)
            finally:
                os.umask(before)
        except OSError as error:
            raise ConnectivityError(f"{self._path}: {reason_of(error)}", code=CODE_CONTROL) from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)


class _Conversation(asyncio.Protocol):
    def __init__(self, commands: Mapping[str, Callable[[], dict[str, Any]]]) -> None:
        self._commands = commands
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        line, end, _ = self._received.partition(b"\n")
        if not end and len(self._received) <= _COMMAND_MAX_BYTES:
            return
        name = line.decode("utf-8", "replace").strip()
        command = self._commands.get(name)
        answer = command() if command is not None else {"error": f"no such command: {name[:_COMMAND_MAX_BYTES]}"}
        self._transport.write(json.dumps(answer).encode() + b"\n")
        self._transport.close()


def ask(path: Path, command: str) -> dict[str, Any]:
    """Give a running relay a command, and wait for its answer.

    Args:
        path: Its control socket.
        command: ``status``, ``reload`` or ``drain``.

    Raises:
        RelayError: Nothing answers there, or it refuses.
    """
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(RELAY_CONTROL_TIMEOUT_S)
            connection.connect(str(path))
            connection.sendall(command.encode() + b"\n")
            received = b""
            while (chunk := connection.recv(1 << 16)) and len(received) < _ANSWER_MAX_BYTES:
                received += chunk
        answer = json.loads(received)
    except OSError as error:
        raise RelayError(f"no relay answers at {path}: {reason_of(error)}", code=CODE_NO_RELAY) from error
    except ValueError as error:
        raise RelayError(f"{path} is no relay's control socket", code=CODE_NO_RELAY) from error
    if not isinstance(answer, dict):
        raise RelayError(f"{path} is no relay's control socket", code=CODE_NO_RELAY)
    if "error" in answer:
        raise RelayError(str(answer["error"]))
    return answer


def _is_answered(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(RELAY_CONTROL_TIMEOUT_S)
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True
