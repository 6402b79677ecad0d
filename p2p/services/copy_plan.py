"""What there is to copy, on this side and on the other."""

from __future__ import annotations

import os
import stat
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final, NamedTuple

from p2p import defaults
from p2p.errors import ForwardError
from p2p.services.file_client import CODE_FAILED, FileClient, number_in, url_of

_STATUS_MOVED: Final = 301
"""What asks for a folder without a slash at the end is sent to the one with it."""


class Item(NamedTuple):
    """One file to copy.

    Attributes:
        here: The way to it below the local folder.
        there: The way to it on the other side.
        size_bytes: How long it is; of a remote file, how long it was when it was listed.
        modified_wall: When it was changed last, Unix time.
    """

    here: tuple[str, ...]
    there: tuple[str, ...]
    size_bytes: int
    modified_wall: float


def local_items(path: Path, there: tuple[str, ...], *, hidden: bool) -> tuple[Path, list[Item], int]:
    """List what is to be sent.

    Args:
        path: A file or a folder.
        there: What it is called on the other side.
        hidden: Whether to take names that begin with a dot.

    Returns:
        The folder that the items are in, the items, and how many things are left out.

    Raises:
        OSError: It cannot be read.
    """
    found = os.stat(path)
    if not stat.S_ISDIR(found.st_mode):
        return path.parent, [Item((path.name,), there, found.st_size, found.st_mtime)], 0
    items = []
    left_out = 0
    waiting: list[tuple[str, ...]] = [()]
    while waiting:
        names = waiting.pop()
        for entry in sorted(os.scandir(os.path.join(path, *names)), key=lambda entry: entry.name):
            way = (*names, entry.name)
            if entry.name.startswith(".") and not hidden:
                left_out += 1
            elif entry.is_dir(follow_symlinks=False):
                waiting.append(way)
            elif entry.is_file(follow_symlinks=False):
                status = entry.stat(follow_symlinks=False)
                items.append(Item(way, (*there, *way), status.st_size, status.st_mtime))
            else:
                left_out += 1
    return path, items, left_out


def remote_items(
    client: FileClient, there: tuple[str, ...], here: tuple[str, ...], *, hidden: bool
) -> tuple[list[Item], int]:
    """List what is to be fetched.

    Args:
        client: Asks the service.
        there: A file or a folder.
        here: What it is to be called.
        hidden: Whether to take names in folders that begin with a dot, if the other side shows them.

    Returns:
        The items, and how many things are left out.

    Raises:
        ForwardError: It is not there, or the other side does not show it.
    """
    if there:
        about = client.ask("HEAD", url_of(there), accept=frozenset((_STATUS_MOVED,)))
        if about.status != _STATUS_MOVED:
            modified = parsedate_to_datetime(about.headers.get("Last-Modified", "")).timestamp()
            return [Item(here, there, number_in(about, "Content-Length"), modified)], 0
    items = []
    left_out = 0
    waiting: list[tuple[str, ...]] = [()]
    while waiting:
        names = waiting.pop()
        if len(names) > defaults.FILES_DEPTH_MAX:
            raise ForwardError("the other side's folders never end", code=CODE_FAILED)
        entries, not_shown = client.entries((*there, *names))
        left_out += not_shown
        for entry in entries:
            way = (*names, entry.name)
            if entry.is_link or (entry.name.startswith(".") and not hidden):
                left_out += 1
            elif entry.is_folder:
                waiting.append(way)
            else:
                items.append(Item((*here, *way), (*there, *way), entry.size_bytes, entry.modified_wall))
    return items, left_out
