"""The toolkit's own version."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version


@cache
def toolkit_version() -> str:
    """Return the installed version, or ``unknown`` in a checkout that is not installed."""
    try:
        return version("p2p-toolkit")
    except PackageNotFoundError:
        return "unknown"
