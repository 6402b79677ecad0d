"""The folder with the operator's error pages."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from gateway.core.pages import CODE_PAGES, Pages
from gateway.core.problems import Problem
from p2p.errors import ConfigError
from p2p.os_errors import reason_of

PAGE_MAX_BYTES: Final = 256 << 10
"""Pages are held in memory, and sent with each problem."""


class ErrorPages:
    """Reads templates from a folder, again when they have changed.

    Args:
        folder: With files such as ``offline.html``, ``503.html`` and ``error.html``.

    Raises:
        ConfigError: There is none, or one cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen = self._stamps()
        self._pages = self._read()

    def page(self, problem: Problem, host: str) -> str:
        """See ``Pages``."""
        return self._pages.page(problem, host)

    def reload_if_changed(self) -> None:
        """Take templates as they are now.

        Raises:
            ConfigError: One cannot be used; then all stay as they were.
        """
        if (now := self._stamps()) != self._seen:
            self._seen = now
            self._pages = self._read()

    def _read(self) -> Pages:
        templates = {}
        try:
            for path in self._files():
                if path.stat().st_size > PAGE_MAX_BYTES:
                    raise ConfigError(f"{path}: larger than {PAGE_MAX_BYTES >> 10} KiB", code=CODE_PAGES)
                templates[path.stem] = path.read_text(encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"{self._folder}: {reason_of(error)}", code=CODE_PAGES) from error
        except UnicodeDecodeError as error:
            raise ConfigError(f"{self._folder}: a page is not UTF-8: {error}", code=CODE_PAGES) from error
        if not templates:
            raise ConfigError(f"{self._folder}: no .html in it", code=CODE_PAGES)
        return Pages(templates)

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob("*.html"))

    def _stamps(self) -> dict[Path, tuple[int, int]]:
        try:
            return {path: (found.st_mtime_ns, found.st_size) for path in self._files() for found in [path.stat()]}
        except OSError:
            return {}  # reading tells why
