"""A program under test that tells what happens in JSON lines, and the threads that listen to it."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from .errors import LabError
from .lab import Lab
from .programs import Programs

_STOP_CHECK_S: Final = 0.2
_GRACE_S: Final = 5.0
_LOG_TAIL_BYTES: Final = 600


class Stopped(Exception):
    """The user interrupted the run."""


@dataclass(frozen=True, slots=True)
class Told:
    """One line that a program printed.

    Attributes:
        at: When it was read, on the monotonic clock.
        event: What happened.
        values: The whole object.
    """

    at: float
    event: str
    values: Mapping[str, Any]

    @property
    def t_s(self) -> float | None:
        """Seconds since the program began signalling, by its own clock."""
        value = self.values.get("t")
        return float(value) if isinstance(value, int | float) else None


class ObservedProgram:
    """A program on a host of a lab, ended at the end of the `with` block.

    Args:
        lab: The lab.
        host: The host.
        command: Program and arguments.
        environment: Its environment.
        log: The file that its standard error goes to; what it tells goes to another one beside it, ``.jsonl``.
        stop: Set when the user wants to stop.
    """

    def __init__(
        self,
        lab: Lab,
        host: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        log: Path,
        stop: threading.Event,
    ) -> None:
        self._log = log
        self._stop = stop
        self._told: list[Told] = []
        self._news = threading.Condition()
        self._ended = False
        self.started_at = time.monotonic()
        with log.open("ab") as errors:
            self._process = lab.popen(
                host,
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                # A Ctrl-C is for the lab, which then ends its programs in order.
                start_new_session=True,
            )
        self._reader = threading.Thread(target=self._read, name=f"reader of {host}")

    @classmethod
    def of(
        cls, programs: Programs, lab: Lab, host: str, name: str, command: Sequence[str], *, stop: threading.Event
    ) -> ObservedProgram:
        """Start one of the programs under test, with a home and a log of its own in their folder.

        Args:
            programs: How it is run.
            lab: Where.
            host: On which host.
            name: What its home and its log are called.
            command: Its command line, as ``programs`` writes it.
            stop: Set when the user wants to stop.
        """
        log = programs.folder / f"{name}.log"
        return cls(lab, host, command, environment=programs.environment(name), log=log, stop=stop)

    def __enter__(self) -> ObservedProgram:
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def kill(self) -> None:
        """End it without a warning, as a crash would, and wait until it is gone."""
        self._process.kill()
        self._process.wait()

    def _read(self) -> None:
        output = self._process.stdout
        assert output is not None
        with output, self._log.with_suffix(".jsonl").open("w") as transcript:
            for line in output:
                at = time.monotonic()
                transcript.write(line)
                try:
                    values = json.loads(line)
                except ValueError:
                    continue
                if isinstance(values, dict):
                    with self._news:
                        self._told.append(Told(at, str(values.get("event")), values))
                        self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    @property
    def told(self) -> tuple[Told, ...]:
        """Everything it told until now."""
        with self._news:
            return tuple(self._told)

    @property
    def has_ended(self) -> bool:
        """Whether it prints no more."""
        with self._news:
            return self._ended

    def wait_for(self, wanted: Callable[[Told], bool], *, until: float) -> Told | None:
        """Wait for a line, or take it from those that are there.

        Args:
            wanted: Tells whether a line is the one.
            until: When to give up, on the monotonic clock.

        Returns:
            The first such line; None when time was up or the program ended.

        Raises:
            Stopped: The user wants to stop.
        """
        seen = 0
        with self._news:
            while True:
                for told in self._told[seen:]:
                    if wanted(told):
                        return told
                seen = len(self._told)
                if self._stop.is_set():
                    raise Stopped
                left_s = until - time.monotonic()
                if self._ended or left_s <= 0:
                    return None
                self._news.wait(min(left_s, _STOP_CHECK_S))

    def require(self, event: str, *, within_s: float) -> Told:
        """Wait for an event that must come.

        Raises:
            LabError: It did not come in time, or the program ended; with the end of its log.
            Stopped: The user wants to stop.
        """
        told = self.wait_for(lambda told: told.event == event, until=time.monotonic() + within_s)
        if told is None:
            raise LabError(f"no event {event!r} within {within_s:g} s: {self.last_words()}")
        return told

    def last_words(self) -> str:
        """What it said before it failed, for a message."""
        problems = [
            f"{told.values.get('code')}: {told.values.get('detail')}" for told in self.told if told.event == "error"
        ]
        if problems:
            return "; ".join(problems)
        tail = self._log.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace").strip()
        if tail:
            return " | ".join(tail.splitlines()[-3:])
        return f"it last told {json.dumps(dict(self.told[-1].values))}" if self.told else "it said nothing"
