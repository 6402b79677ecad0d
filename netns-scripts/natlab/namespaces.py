"""Enter a network namespace from inside this process, without a program in between.

A namespace is a property of a thread, sockets keep the one they were made in, and a child process starts in the one
of the thread that started it. So to enter, do a thing, and come back is all that is needed, and costs microseconds.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from .errors import LabError

NAMESPACE_FOLDER: Final = Path("/run/netns")
_CLONE_NEWNET: Final = 0x40000000
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


def require_root() -> None:
    """Make sure that we may make namespaces.

    Raises:
        LabError: We may not.
    """
    if os.geteuid() != 0:
        raise LabError("the lab needs root to make network namespaces", "Run it again with sudo.")


def _set_namespace(descriptor: int) -> None:
    if _LIBC.setns(descriptor, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise LabError(f"cannot enter a network namespace: {os.strerror(number)}", "Run it as root.")


def enter_for_good(name: str) -> None:
    """Move this thread into a namespace; for a process that is about to become another program.

    Raises:
        LabError: There is no such namespace.
    """
    try:
        descriptor = os.open(NAMESPACE_FOLDER / name, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise LabError(f"there is no network namespace {name}", "See `lab list` for what is up.") from None
    try:
        _set_namespace(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def entered(name: str) -> Iterator[None]:
    """Be in a namespace for the length of a `with` block: this thread only.

    Never await inside: another task would run in the wrong namespace.

    Raises:
        LabError: There is no such namespace.
    """
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        enter_for_good(name)
        try:
            yield
        finally:
            _set_namespace(home)
    finally:
        os.close(home)


def write_sysctls(name: str, values: Mapping[str, int]) -> None:
    """Set kernel parameters of a namespace.

    Args:
        name: The namespace.
        values: Paths below ``/proc/sys`` and what to write there.

    Raises:
        LabError: There is no such namespace or no such parameter.
    """
    with entered(name):
        for key, value in values.items():
            try:
                Path("/proc/sys", key).write_text(str(value))
            except FileNotFoundError:
                raise LabError(
                    f"this kernel has no parameter {key}", "Load the kernel modules that the manual names."
                ) from None
