"""The file of the audit log."""

from __future__ import annotations

import io
import logging
import os
import threading
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from gateway.core.audit import Record, line_of
from p2p.errors import ConfigError, ErrorCode
from p2p.os_errors import reason_of

logger = logging.getLogger(__name__)

CODE_AUDIT: Final = ErrorCode("P2P-1524", "Choose another file with --audit, or let the gateway's user write it.")

WAITING_MAX_BYTES: Final = 8 << 20
"""Lines that a slow disk has not taken yet: some 30,000. Further ones are dropped, and their number is written."""
CLOSE_WITHIN_S: Final = 5.0


class AuditLog:
    """Appends a line of JSON for each visit, from a thread of its own: no disk is ever waited for.

    Args:
        path: The file; made for its owner only.

    Raises:
        ConfigError: It cannot be written.

    Attributes:
        dropped: Lines that were lost because the disk was too slow, or full.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._news = threading.Condition()
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._is_over = False
        self._has_to_reopen = False
        self._untold = 0
        self.dropped = 0
        try:
            self._file = _open(path)
        except OSError as error:
            raise ConfigError(f"{path}: {reason_of(error)}", code=CODE_AUDIT) from error
        self._thread = threading.Thread(target=self._run, name="audit log", daemon=True)

    async def __aenter__(self) -> Self:
        self._thread.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._news:
            self._is_over = True
            self._news.notify()
        # The last lines; a disk that hangs does not keep the gateway from ending.
        self._thread.join(CLOSE_WITHIN_S)

    def write(self, record: Record) -> None:
        """Take a record; it is in the file soon."""
        line = line_of(record)
        with self._news:
            if self._waiting_bytes + len(line) > WAITING_MAX_BYTES:
                self._lose(1)
                return
            self._waiting.append(line)
            self._waiting_bytes += len(line)
            self._news.notify()

    def reopen(self) -> None:
        """Go on in a new file of the same name: the old one was moved away."""
        with self._news:
            self._has_to_reopen = True
            self._news.notify()

    # --- the thread --------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._waiting or self._has_to_reopen or self._is_over)
                lines, self._waiting = self._waiting, []
                has_to_reopen, self._has_to_reopen = self._has_to_reopen, False
                is_over = self._is_over
                if lines and self._untold:
                    lines.append(b'{"dropped":%d}\n' % self._untold)
                    self._untold = 0
            self._put(lines)
            if has_to_reopen:
                self._reopen()
            if is_over:
                self._file.close()
                return

    def _put(self, lines: list[bytes]) -> None:
        data = b"".join(lines)
        try:
            left = memoryview(data)
            while left:
                left = left[self._file.write(left) or 0 :]
        except OSError as error:
            logger.warning("audit log %s: %s", self._path, reason_of(error))
            with self._news:
                self._lose(len(lines))
        finally:
            with self._news:
                self._waiting_bytes -= len(data)

    def _reopen(self) -> None:
        try:
            file = _open(self._path)
        except OSError as error:
            logger.warning("audit log %s: %s; the old file goes on", self._path, reason_of(error))
            return
        self._file.close()
        self._file = file

    def _lose(self, count: int) -> None:
        self.dropped += count
        self._untold += count


def _open(path: Path) -> io.FileIO:
    """Append to a file; a new one is for its owner only."""
    return io.FileIO(path, "ab", opener=lambda name, flags: os.open(name, flags, 0o600))
