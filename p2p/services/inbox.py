"""A folder that files are put into: piece by piece, checked at the end, there all at once or not at all.

The pieces of a file grow in a part, which has a name of its own and outlives the connection and the program: whoever
knows its key goes on where it ends. A complete part whose digest is right gets the file's name by one step of the file
system. What is there already is not replaced. Nothing is written through a symbolic link.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import stat
import time
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Final

from p2p import defaults
from p2p.services.tree import PART_PREFIX

KEY: Final = re.compile(r"[0-9a-f]{32}")
"""What a part's key looks like: whoever uploads chooses it, so that nobody else can guess it."""

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_WRITE: Final = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


class Arrival(Enum):
    """What a file that came to its end was."""

    NEW = "new"
    SAME = "same"
    """It was there already, with the same content."""


class WrongDigestError(Exception):
    """A part is not what it should be; it was deleted."""


class Inbox:
    """Write access to a folder. All methods may block: call them in a thread.

    Args:
        root: The folder.
        hidden: Whether names that begin with a dot are taken, which by custom are settings and keys.
        replace: Whether a file that is there is replaced by one of the same name.
    """

    def __init__(self, root: Path, *, hidden: bool = False, replace: bool = False) -> None:
        self.root = os.path.realpath(root)
        self._hidden = hidden
        self._replace = replace

    def check(self, names: Sequence[str]) -> None:
        """See whether a file may have this name.

        Args:
            names: As of ``names_untrusted``: folders, and at last the file.

        Raises:
            PermissionError: It may not.
        """
        if not names:
            raise PermissionError(errno.EPERM, "a file needs a name")
        if any(name.startswith(PART_PREFIX) or (name.startswith(".") and not self._hidden) for name in names):
            raise PermissionError(errno.EPERM, "names that begin with a dot are not taken")

    def is_taken(self, names: Sequence[str]) -> bool:
        """Tell whether something has a name already."""
        self.check(names)
        return os.path.lexists(os.path.join(self.root, *names))

    def offset(self, key: str) -> int:
        """Tell how much of a part is there; 0 of one that is not."""
        try:
            return os.stat(self._part(key), follow_symlinks=False).st_size
        except FileNotFoundError:
            return 0

    def write(self, key: str, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Write a piece of a part behind the pieces before it.

        Args:
            key: The part.
            offset: How long the part is now.
            data: The piece.

        Raises:
            OSError: It cannot be written, or little room is left (``ENOSPC``).
        """
        room = os.statvfs(self.root)
        if room.f_bavail * room.f_frsize - len(data) < defaults.FILES_ROOM_LEFT_BYTES:
            raise OSError(errno.ENOSPC, "no room for more")
        descriptor = os.open(self._part(key), _WRITE, 0o600)
        try:
            view = memoryview(data)
            while view:
                written = os.pwrite(descriptor, view, offset)
                offset += written
                view = view[written:]
        finally:
            os.close(descriptor)

    def drop(self, key: str) -> None:
        """Forget a part, if there is one."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._part(key))

    def drop_old(self) -> None:
        """Forget parts that nobody has come back for."""
        oldest_wall = time.time() - defaults.FILES_PART_LIFETIME_S
        for entry in os.scandir(self.root):
            if entry.name.startswith(PART_PREFIX) and entry.stat(follow_symlinks=False).st_mtime < oldest_wall:
                with contextlib.suppress(OSError):
                    os.unlink(entry.path)

    def finish(self, key: str, names: Sequence[str], digest: bytes, modified_wall: float | None) -> Arrival:
        """Give a complete part its name, and make the folders on the way.

        Args:
            key: The part; none yet is an empty file.
            names: Folders, and at last the file; see ``check``.
            digest: The SHA-256 that the whole must have.
            modified_wall: When the content was changed last, Unix time; None for now.

        Raises:
            WrongDigestError: The part has another digest, and was deleted.
            FileExistsError: A different file has the name; the part was deleted.
            OSError: It cannot be done; the part is still there.
        """
        self.check(names)
        folder = self._folder(names[:-1])
        try:
            if (there := self._digest_of_existing(folder, names[-1])) is not None:
                if there == digest:
                    self.drop(key)
                    return Arrival.SAME
                if not self._replace:
                    self.drop(key)
                    raise FileExistsError(errno.EEXIST, "another file has that name")
            self._complete(key, digest, modified_wall)
            self._rename(key, folder, names[-1])
            os.fsync(folder)
        finally:
            os.close(folder)
        return Arrival.NEW

    def _complete(self, key: str, digest: bytes, modified_wall: float | None) -> None:
        descriptor = os.open(self._part(key), _WRITE, 0o600)
        with os.fdopen(descriptor, "rb") as file:
            if hashlib.file_digest(file, "sha256").digest() != digest:
                self.drop(key)
                raise WrongDigestError
            # A part is nobody else's business; a file is what the user's other files are.
            os.fchmod(descriptor, 0o666 & ~_umask())
            if modified_wall is not None:
                os.utime(descriptor, (modified_wall, modified_wall))
            os.fsync(descriptor)

    def _rename(self, key: str, folder: int, name: str) -> None:
        part = self._part(key)
        if self._replace:
            os.rename(part, name, dst_dir_fd=folder)
            return
        try:
            os.link(part, name, dst_dir_fd=folder, follow_symlinks=False)
        except FileExistsError:
            self.drop(key)
            raise
        except OSError as error:
            if error.errno not in {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP}:
                raise
            # A file system without links, such as that of a memory card: it was looked for the name just now.
            os.rename(part, name, dst_dir_fd=folder)
            return
        os.unlink(part)

    def _digest_of_existing(self, folder: int, name: str) -> bytes | None:
        try:
            found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return None
        if not stat.S_ISREG(found.st_mode):
            raise FileExistsError(errno.EEXIST, "that name is no file's")
        with os.fdopen(os.open(name, _READ, dir_fd=folder), "rb") as file:
            return hashlib.file_digest(file, "sha256").digest()

    def make_folder(self, names: Sequence[str]) -> None:
        """Make a folder, and those on the way.

        Raises:
            OSError: It cannot be made.
        """
        if names:
            self.check(names)
        os.close(self._folder(names))

    def _folder(self, names: Sequence[str]) -> int:
        descriptor = os.open(self.root, _FOLDER & ~os.O_NOFOLLOW)
        try:
            for name in names:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(name, dir_fd=descriptor)
                below = os.open(name, _FOLDER, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = below
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _part(self, key: str) -> str:
        if not KEY.fullmatch(key):
            raise ValueError("no key of a part")
        return os.path.join(self.root, f"{PART_PREFIX}{key}")


def _umask() -> int:
    """The process's mask, read where reading does not change it."""
    with open("/proc/self/status", encoding="ascii") as status:
        for line in status:
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    return 0o077
