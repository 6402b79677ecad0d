"""The real ``p2p`` command in processes of its own, and other programs beside it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

P2P = Path(sys.executable).with_name("p2p")
SERVE = ("serve", "--open", "--listen", "127.0.0.1", "--danger-allow-private-peers", "--http-port=0", "--stun-port=0")
PATIENCE_S = 20.0
"""A start takes half a second; a machine that runs everything at once, much longer."""


def need(*programs: str) -> str:
    """Find a program, the first of several names that there is, or skip the test."""
    for program in programs:
        if (path := shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")) is not None:
            return path
    pytest.skip(f"{' or '.join(programs)} is not installed")


def environment(folder: Path) -> dict[str, str]:
    """The environment of a user who has never used ``p2p``."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("P2P_", "PG", "XDG_", "SSH_"))}
    kept = {key: value for key, value in kept.items() if not key.lower().endswith("_proxy")}
    folders = {"HOME": folder, "XDG_CONFIG_HOME": folder / "config", "XDG_STATE_HOME": folder}
    # The state folder holds a Unix socket, whose path has to stay below 108 bytes under pytest's long folders.
    return {**kept, **{name: str(path) for name, path in folders.items()}, "LC_ALL": "C.UTF-8"}


def run(
    *command: str | Path, data: bytes | None = None, env: dict[str, str] | None = None, timeout_s: float = 60.0
) -> subprocess.CompletedProcess[bytes]:
    """Run a program to its end, whatever that is; without ``data`` it has no standard input."""
    stdin = {"stdin": subprocess.DEVNULL} if data is None else {"input": data}
    return subprocess.run(command, capture_output=True, check=False, timeout=timeout_s, env=env, **stdin)


class Command:
    """A ``p2p`` command with ``--json`` that runs until the block ends; it must end well and quietly.

    Args:
        folder: The home of its user.
        arguments: Command and flags.
    """

    def __init__(self, folder: Path, arguments: Sequence[str]) -> None:
        self.events: list[dict[str, Any]] = []
        self._folder = folder
        self._arguments = arguments
        self._news = threading.Condition()
        self._is_over = False
        self._is_killed = False

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [P2P, *self._arguments, "--json"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(self._folder),
        )
        self._errors: list[str] = []
        self._threads = [threading.Thread(target=self._read_events), threading.Thread(target=self._read_errors)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.terminate()
        try:
            code = self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        for thread in self._threads:
            thread.join()
        if error is None and not self._is_killed and (code or self._errors):
            pytest.fail(f"{self._arguments[0]} ended with {code}: {''.join(self._errors)} {self.events[-3:]}")

    @property
    def pid(self) -> int:
        """The number of its process."""
        return self._process.pid

    def kill(self) -> None:
        """End it as the kernel does when there is no memory left."""
        self._is_killed = True
        self._process.kill()
        self._process.wait()

    def wait_for(self, event: str, **fields: object) -> dict[str, Any]:
        """Wait until the command has told an event, which may have been before."""

        def find() -> dict[str, Any] | None:
            for told in self.events:
                if told["event"] == event and all(told.get(key) == value for key, value in fields.items()):
                    return told
            return None

        with self._news:
            self._news.wait_for(lambda: find() is not None or self._is_over, PATIENCE_S)
        found = find()
        if found is None:
            pytest.fail(f"{self._arguments[0]} told no {event} {fields}: {self.events} {''.join(self._errors)}")
        return found

    def _read_events(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                with self._news:
                    self.events.append(json.loads(line))
                    self._news.notify_all()
        with self._news:
            self._is_over = True
            self._news.notify_all()

    def _read_errors(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as lines:
            self._errors.extend(lines)


class Peers:
    """Where peers meet, and the peers: each one a process with a key of its own.

    Args:
        folder: For the homes of the users.
        rendezvous: The URL.
    """

    def __init__(self, folder: Path, rendezvous: str) -> None:
        self.folder = folder
        self.rendezvous = rendezvous
        self._count = 0

    @contextmanager
    def expose(self, target: int | str, *flags: str) -> Iterator[tuple[str, Command]]:
        """Offer a port of this machine, or whatever else can be; gives the ticket."""
        text = f"127.0.0.1:{target}" if isinstance(target, int) else target
        with Command(self._home(), ["expose", text, "--rendezvous", self.rendezvous, *flags]) as command:
            yield command.wait_for("ready")["ticket"], command

    @contextmanager
    def connect(self, ticket: str, *flags: str) -> Iterator[tuple[int, Command]]:
        """Reach an offer; gives the local port, once the session is open."""
        with Command(self._home(), ["connect", ticket, "--listen", "127.0.0.1:0", *flags]) as command:
            command.wait_for("connected")
            yield int(command.wait_for("listening")["address"].rpartition(":")[2]), command

    @contextmanager
    def forwarded(self, port: int) -> Iterator[int]:
        """Offer a port and reach it; gives the local port on the other side."""
        with self.expose(port) as (ticket, _), self.connect(ticket) as (local_port, _):
            yield local_port

    def _home(self) -> Path:
        self._count += 1
        folder = self.folder / f"user{self._count}"
        folder.mkdir()
        return folder


@contextmanager
def meeting_point(folder: Path) -> Iterator[Peers]:
    """Run ``p2p serve`` on loopback for the peers of the block."""
    home = folder / "server"
    home.mkdir()
    with Command(home, SERVE) as serve:
        yield Peers(folder, serve.wait_for("serving")["rendezvous"])
