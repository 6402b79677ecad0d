"""A Unix socket on which a server tells how it does and takes commands of its operator.

A client sends one line, a command and its arguments, and gets one JSON object and the end of the stream. Who may open
the socket is whom the file system lets: it is made for its owner only.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import logging
import os
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self, TypeAlias, cast

from p2p.defaults import CONTROL_TIMEOUT_S
from p2p.errors import ConnectivityError, ErrorCode, P2PError
from p2p.os_errors import reason_of

logger = logging.getLogger(__name__)

_COMMAND_MAX_BYTES: Final = 1024
_ANSWER_MAX_BYTES: Final = 16 << 20
"""More than the status of the largest gateway; whoever sends more is none of our programs."""

Command: TypeAlias = Callable[..., dict[str, Any]]
"""Takes the words behind its name; what it returns is the answer, and a ``P2PError`` is answered as an error."""


class Controlled(NamedTuple):
    """A kind of server that is controlled this way.

    Attributes:
        name: What it is.
        error: What a refused command raises on the operator's side.
        taken: When the socket cannot be made.
        silent: When no such server answers.
        refused: When it does not do what it was told; None for the usual code of the error.
    """

    name: str
    error: type[P2PError]
    taken: ErrorCode
    silent: ErrorCode
    refused: ErrorCode | None = None


class ControlSocket:
    """Answers commands inside its ``async with`` block. One event loop, no task.

    Args:
        path: Where the socket is; what a process that died has left there is taken away.
        commands: What each command does.
        server: Whose socket it is.
    """

    def __init__(self, path: Path, commands: Mapping[str, Command], server: Controlled) -> None:
        self._path = path
        self._kind = server
        self._commands = commands
        self._server: asyncio.AbstractServer | None = None

    async def __aenter__(self) -> Self:
        """Open the socket.

        Raises:
            ConnectivityError: It cannot be made, or another server answers there.
        """
        try:
            if is_answered(self._path):
                raise ConnectivityError(
                    f"{self._path}: a {self._kind.name} answers there already", code=self._kind.taken
                )
            self._path.unlink(missing_ok=True)
            before = os.umask(0o177)
            try:
                loop = asyncio.get_running_loop()
                self._server = await loop.create_unix_server(lambda: _Conversation(self._commands), self._path)
            finally:
                os.umask(before)
        except OSError as error:
            raise ConnectivityError(f"{self._path}: {reason_of(error)}", code=self._kind.taken) from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)


class _Conversation(asyncio.Protocol):
    def __init__(self, commands: Mapping[str, Command]) -> None:
        self._commands = commands
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        line, end, _ = self._received.partition(b"\n")
        if not end and len(self._received) <= _COMMAND_MAX_BYTES:
            return
        self._transport.write(json.dumps(self._answer(line.decode("utf-8", "replace").split())).encode() + b"\n")
        self._transport.close()

    def _answer(self, words: list[str]) -> dict[str, Any]:
        name, *arguments = words or [""]
        if (command := self._commands.get(name)) is None:
            return {"error": f"no such command: {name}"}
        try:
            inspect.signature(command).bind(*arguments)
        except TypeError as error:
            return {"error": f"{name}: {error}"}
        try:
            return command(*arguments)
        except P2PError as error:
            return {"error": error.detail}


def ask(path: Path, server: Controlled, *words: str) -> dict[str, Any]:
    """Give a running server a command, and wait for its answer.

    Args:
        path: Its control socket.
        server: What it is.
        *words: The command, such as ``status``, and its arguments, which hold no blanks.

    Raises:
        P2PError: Nothing answers there, or it refuses.
    """
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(CONTROL_TIMEOUT_S)
            connection.connect(str(path))
            connection.sendall(" ".join(words).encode() + b"\n")
            received = b""
            while (chunk := connection.recv(1 << 16)) and len(received) < _ANSWER_MAX_BYTES:
                received += chunk
        answer = json.loads(received)
    except OSError as error:
        raise server.error(f"no {server.name} answers at {path}: {reason_of(error)}", code=server.silent) from error
    except ValueError as error:
        raise server.error(f"{path} is no {server.name}'s control socket", code=server.silent) from error
    if not isinstance(answer, dict):
        raise server.error(f"{path} is no {server.name}'s control socket", code=server.silent)
    if "error" in answer:
        raise server.error(str(answer["error"]), code=server.refused)
    return answer


def is_answered(path: Path) -> bool:
    """Whether a server answers on a control socket; what one that died has left there is silent."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(CONTROL_TIMEOUT_S)
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True
