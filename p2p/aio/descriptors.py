"""How many files and sockets this process may have open."""

from __future__ import annotations

import contextlib
import sys


def raise_descriptor_limit() -> int:
    """Allow this process as many open files as the system lets it have: each flow and each allocation needs one.

    Returns:
        How many that are; 0 where the system has no such limit.
    """
    if sys.platform == "win32":
        return 0
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        return hard
    return soft
