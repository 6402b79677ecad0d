"""A folder, and nothing but what is in it.

Whoever asks sends bytes that name a file. They are taken apart into names, none of which may lead up; symbolic links
are followed as long as they stay inside; and what was found is opened step by step without following any link, so that
one that is put in the way meanwhile leads nowhere.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from p2p.errors import DecodeError

PART_PREFIX: Final = ".p2p-part-"
"""Begins the name of a file that is not complete yet; nobody is shown one."""

_OPEN: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_OPEN_FOLDER: Final = _OPEN | os.O_DIRECTORY
_NAME_MAX_BYTES: Final = 255
"""Source: NAME_MAX of Linux."""
_PATH_MAX_BYTES: Final = 4096 - 1024
"""Source: PATH_MAX of Linux, with room for where the folder itself is."""


class Entry(NamedTuple):
    """What a folder shows of one thing in it.

    Attributes:
        name: As the file system has it; bytes that are no UTF-8 are surrogates.
        is_folder: Whether it is one, perhaps by a link.
        is_link: Whether it is a link to something in the same tree.
        size_bytes: Of a file; 0 of a folder.
        modified_wall: Unix time.
    """

    name: str
    is_folder: bool
    is_link: bool
    size_bytes: int
    modified_wall: float


class Tree:
    """Read access to a folder for whoever has the ticket. All methods may block: call them in a thread.

    Args:
        root: The folder.
        hidden: Whether names that begin with a dot are shown and served, which by custom are settings and keys.
    """

    def __init__(self, root: Path, *, hidden: bool = False) -> None:
        self.root = os.path.realpath(root)
        self._hidden = hidden

    def open_untrusted(self, names: Sequence[str]) -> tuple[int, os.stat_result]:
        """Open a file or folder for reading.

        Args:
            names: As of ``names_untrusted``.

        Returns:
            A descriptor, which belongs to the caller, and what it is: a regular file or a folder.

        Raises:
            FileNotFoundError: There is none, or none that may be seen.
            OSError: It cannot be opened.
        """
        descriptor = os.open(self.root, _OPEN_FOLDER)
        try:
            for name in self._inside(names):
                mode = os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_mode
                if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                    # A link is one that came meanwhile. Opening a device may do something already.
                    raise FileNotFoundError(errno.ENOENT, "neither file nor folder")
                below = os.open(name, _OPEN, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = below
            found = os.fstat(descriptor)
            if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
                raise FileNotFoundError(errno.ENOENT, "neither file nor folder")
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor, found

    def entries(self, names: Sequence[str]) -> tuple[list[Entry], int]:
        """List a folder, folders first, by name.

        Args:
            names: As of ``names_untrusted``.

        Returns:
            What may be seen, and how much is hidden.

        Raises:
            OSError: It cannot be listed.
        """
        entries = []
        hidden = 0
        descriptor, _ = self.open_untrusted(names)
        try:
            for name in os.listdir(descriptor):
                if name.startswith(PART_PREFIX):
                    continue
                if self._is_hidden(name):
                    hidden += 1
                    continue
                try:
                    is_link = stat.S_ISLNK(os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_mode)
                    below, found = self.open_untrusted([*names, name])
                except OSError:
                    continue  # a link that leads out, a device, or something we may not read
                os.close(below)
                is_folder = stat.S_ISDIR(found.st_mode)
                entries.append(Entry(name, is_folder, is_link, 0 if is_folder else found.st_size, found.st_mtime))
        finally:
            os.close(descriptor)
        entries.sort(key=lambda entry: (not entry.is_folder, entry.name.casefold(), entry.name))
        return entries, hidden

    def _inside(self, names: Sequence[str]) -> Sequence[str]:
        """Follow links, and see that they end inside."""
        real = os.path.realpath(os.path.join(self.root, *names), strict=True)
        if real == self.root:
            inside: Sequence[str] = ()
        elif real.startswith(self.root.rstrip(os.sep) + os.sep):
            inside = real[len(self.root.rstrip(os.sep)) + 1 :].split(os.sep)
        else:
            raise FileNotFoundError(errno.ENOENT, "a link that leads out of the folder")
        for name in (*names, *inside):
            if name.startswith(PART_PREFIX) or self._is_hidden(name):
                raise FileNotFoundError(errno.ENOENT, "a hidden name")
        return inside

    def _is_hidden(self, name: str) -> bool:
        return name.startswith(".") and not self._hidden


def names_untrusted(raw_path: str) -> tuple[str, ...]:
    """Take apart the path of a URL.

    Args:
        raw_path: As it came, with its percent signs.

    Returns:
        Names of folders and at last of a file, each fit for the file system; empty for the folder itself.

    Raises:
        DecodeError: A name leads up, is too long, or can be none.
    """
    path = unquote_to_bytes(raw_path)
    names = [name for name in path.split(b"/") if name]
    for name in names:
        if name in {b".", b".."} or b"\0" in name or len(name) > _NAME_MAX_BYTES:
            raise DecodeError("a name that leads nowhere")
    if len(path) > _PATH_MAX_BYTES:
        raise DecodeError("a path that is too long")
    return tuple(os.fsdecode(name) for name in names)
