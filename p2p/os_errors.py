"""What the operating system said, in its own words."""

from __future__ import annotations

import errno
import os
from typing import Final

NO_DESCRIPTORS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""The process or the machine has no room for another socket, for now."""


def reason_of(error: OSError) -> str:
    """Tell why a system call failed, without what libraries write around it: numbers, addresses, Python's quotes.

    Args:
        error: From the socket module, asyncio or an HTTP library.

    Returns:
        Such as ``Address already in use``; the error's whole text where it has no number of the system's.
    """
    # A name that does not resolve has a negative number, and no words but its own.
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or str(error)
