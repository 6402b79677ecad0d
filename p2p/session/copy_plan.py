"""What ``p2p cp`` was asked for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from p2p.errors import ConfigError, ErrorCode

CODE_BAD_COPY: Final = ErrorCode(
    "P2P-1107", "Write `p2p cp FILE... TICKET:` to send, or `p2p cp TICKET:path .` to fetch."
)

_REMOTE: Final = re.compile(r"(p2p1[a-z2-7]+):(.*)", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyPlan:
    """What to copy, and which way."""

    ticket: str = field(repr=False)
    """The ticket's text; it carries a secret."""
    upload: tuple[Path, ...] = ()
    """Files and folders to send; empty to fetch."""
    remote: tuple[str, ...] = ()
    """The way on the other side: to what is fetched, or to where it goes."""
    is_remote_folder: bool = True
    """Whether what is sent keeps its name, below ``remote``; else it gets that name."""
    local: Path = Path()
    """Where fetched files go."""
    hidden: bool = False
    """Whether names that begin with a dot are copied with their folder."""


def plan_copy(paths: Sequence[str], *, hidden: bool) -> CopyPlan:
    """Understand what a user wants to copy.

    Args:
        paths: One or more sources, and at last the destination. ``TICKET:path`` is on the other side.
        hidden: Whether names that begin with a dot are copied with their folder.

    Raises:
        ConfigError: It is not one way between here and one other side.
    """
    *sources, destination = paths
    remotes = [_REMOTE.fullmatch(path) for path in paths]
    if not sources or sum(remote is not None for remote in remotes) != 1:
        raise ConfigError("exactly one of the paths has to be TICKET:path", code=CODE_BAD_COPY)
    if (into := remotes[-1]) is not None:
        remote = _names(into[2])
        is_folder = not remote or into[2].endswith("/")
        if len(sources) > 1 and not is_folder:
            raise ConfigError(f"several files cannot all be called {into[2]!r}; end it with /", code=CODE_BAD_COPY)
        return CopyPlan(
            ticket=into[1],
            upload=tuple(Path(source) for source in sources),
            remote=remote,
            is_remote_folder=is_folder,
            hidden=hidden,
        )
    if len(sources) > 1:
        raise ConfigError("one source at a time can be fetched", code=CODE_BAD_COPY)
    assert remotes[0] is not None
    ticket, path = remotes[0].groups()
    return CopyPlan(ticket=ticket, remote=_names(path), local=Path(destination), hidden=hidden)


def _names(path: str) -> tuple[str, ...]:
    names = tuple(name for name in path.split("/") if name not in {"", "."})
    if ".." in names:
        raise ConfigError(f"{path!r} leads out of the folder", code=CODE_BAD_COPY)
    return names
