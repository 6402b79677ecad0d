"""What a measurement asks of the system for itself."""

from __future__ import annotations

import contextlib
import os
import resource
from pathlib import Path


def go_first() -> None:
    """Go before other sessions on this machine: with autogroups, niceness counts inside of a session only."""
    with contextlib.suppress(OSError):
        os.setsid()
    with contextlib.suppress(OSError):
        Path("/proc/self/autogroup").write_text("-19", encoding="ascii")


def allow_descriptors(count: int) -> int:
    """Let this process and those it starts have so many open files; return how many they may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), max(hard, count)))
    return min(count, max(resource.getrlimit(resource.RLIMIT_NOFILE)))
