"""Logging: one set-up for every command."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Final, TextIO

from p2p.errors import ConfigError, ErrorCode

CODE_LOG_FILE: Final = ErrorCode("P2P-1120", "Name a file in a folder you may write to.")

_FORMAT: Final = "%(asctime)s.%(msecs)03d %(levelname)s %(name)s: %(message)s"
_TIME_FORMAT: Final = "%H:%M:%S"
_OURS: Final = ("p2p", "relay", "rendezvous")
_NOISY: Final = ("quic", "aiohttp", "asyncio")
"""Libraries that warn about what is normal, such as the end of a connection."""


class StderrHandler(logging.StreamHandler[TextIO]):
    """Writes to whatever ``sys.stderr`` is at that moment, because a live view puts itself between."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:
        """The present standard error."""
        return sys.stderr

    @stream.setter
    def stream(self, value: TextIO) -> None:
        """Ignore it: the stream is not ours to set."""


def set_up(*, verbose: bool, log_file: Path | None = None) -> None:
    """Send logs to their places: warnings to standard error, everything with ``verbose``, all to the file.

    Args:
        verbose: Whether standard error gets details too.
        log_file: A file that details are appended to.

    Raises:
        ConfigError: The file cannot be opened.
    """
    handlers: list[logging.Handler] = [StderrHandler()]
    handlers[0].setLevel(logging.DEBUG if verbose else logging.WARNING)
    if log_file is not None:
        try:
            handlers.append(logging.FileHandler(log_file, encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"--log-file: {error}", code=CODE_LOG_FILE) from error
    logging.basicConfig(level=logging.WARNING, format=_FORMAT, datefmt=_TIME_FORMAT, handlers=handlers, force=True)
    is_detailed = verbose or log_file is not None
    for name in _OURS:
        logging.getLogger(name).setLevel(logging.DEBUG if is_detailed else logging.WARNING)
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING if is_detailed else logging.ERROR)
