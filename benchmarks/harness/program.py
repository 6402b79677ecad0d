"""Programs under measurement: started, waited for, looked at, ended."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_GRACE_S: Final = 3.0


class BenchmarkError(Exception):
    """A program did not do what a measurement needs."""


class Program:
    """One program with its children, ended at the end of the ``with`` block.

    Args:
        command: Program and arguments.
        environment: Variables beside those of this process.
        log: Where everything that it prints goes.
    """

    def __init__(self, command: Sequence[str], *, log: Path, environment: Mapping[str, str] | None = None) -> None:
        self._command = command
        self._log = log
        self._lines: list[tuple[float, str]] = []
        self._news = threading.Condition()
        self.started_at = time.monotonic()
        self.ready_at: float | None = None
        """When the line that was waited for last was read."""
        self._process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            text=True,
            errors="replace",
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A forwarder that forks leaves its children, and they our pipe open.
        for pid in tuple(self._pids()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        try:
            self._process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(_GRACE_S)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def wait_for(self, pattern: str, timeout_s: float = 20.0) -> re.Match[str]:
        """Wait until the program has printed a line that matches.

        Raises:
            BenchmarkError: It did not in time, or ended.
        """
        deadline = time.monotonic() + timeout_s
        seen = 0
        while True:
            with self._news:
                for read_at, line in self._lines[seen:]:
                    if match := re.search(pattern, line):
                        self.ready_at = read_at
                        return match
                seen = len(self._lines)
                if self._process.poll() is not None and not self._reader.is_alive():
                    said = [line.strip() for _, line in self._lines if line.strip()]
                    raise BenchmarkError(f"{self._log.stem} ended: {said[-1] if said else 'without a word'}")
                if time.monotonic() > deadline:
                    raise BenchmarkError(f"{' '.join(self._command[:3])} ... did not say {pattern!r}, see {self._log}")
                self._news.wait(0.2)

    @property
    def cpu_s(self) -> float:
        """Processor time of the program and its children so far."""
        return sum(_cpu_s(pid) for pid in self._pids())

    @property
    def memory_bytes(self) -> int:
        """Memory of the program and its children that nobody shares."""
        return sum(_private_bytes(pid) for pid in self._pids())

    def _pids(self) -> Iterator[int]:
        waiting = [self._process.pid]
        while waiting:
            pid = waiting.pop()
            yield pid
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                with contextlib.suppress(OSError):
                    waiting += map(int, children.read_text().split())

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._log.open("a") as log:
            for line in self._process.stdout:
                log.write(line)
                log.flush()
                with self._news:
                    self._lines.append((time.monotonic(), line))
                    self._news.notify_all()


def run_to_end(command: Sequence[str], *, timeout_s: float) -> str:
    """Run a program and return what it printed.

    Raises:
        BenchmarkError: It failed, or took too long.
    """
    try:
        done = subprocess.run(list(command), capture_output=True, text=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired as error:
        raise BenchmarkError(f"{' '.join(command[:8])} took more than {timeout_s:g} s") from error
    if done.returncode:
        raise BenchmarkError(f"{' '.join(command[:8])} failed: {(done.stderr or done.stdout)[-300:].strip()}")
    return done.stdout


def _cpu_s(pid: int) -> float:
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / _TICKS_PER_S
    return 0.0


def _private_bytes(pid: int) -> int:
    with contextlib.suppress(OSError):
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        return sum(int(size) << 10 for size in re.findall(r"^Private_\w+:\s+(\d+) kB", rollup, re.MULTILINE))
    return 0
