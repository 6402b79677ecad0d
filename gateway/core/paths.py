"""Path prefixes: several services on one host."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote

_SLASHES: Final = re.compile(r"/+")


def path_of(target: str) -> str:
    """The path of a path and query."""
    return target.partition("?")[0]


def is_below(path: str, prefix: str) -> bool:
    """Whether a path belongs to a prefix, which ends at a slash or at the path's end."""
    return path == prefix or path.startswith(f"{prefix}/")


def without_prefix(target: str, prefix: str) -> str:
    """Leave the prefix out of a path and query that are below it."""
    rest = target[len(prefix) :]
    return rest if rest.startswith("/") else f"/{rest}"


def plain(path: str) -> str:
    """Write a path as the most obliging server reads it.

    Decoded, with slashes for backslashes, one slash for several, and without the parameters of segments. Where the
    policy depends on the path, ``//closed`` or ``/%63losed`` could otherwise be asked of the service that has all the
    rest, and be answered by a server behind both.
    """
    segments = unquote(path).replace("\\", "/").split("/")
    return _SLASHES.sub("/", "/".join(segment.partition(";")[0] for segment in segments))


def climbs(path: str) -> bool:
    """Whether a plain path has a segment ``..`` or ``.``, so that ``/open/../closed`` would be below ``/open``."""
    return not {".", ".."}.isdisjoint(path.split("/"))
