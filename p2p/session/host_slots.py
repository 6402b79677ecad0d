"""What several programs of one user on one host share: so many costly plans at a time.

Each slot is a file that its holder has locked. The system lets go of a lock when its program ends, however it ends, so
that nothing has to be cleaned up.
"""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path

from p2p.proto.path.plans import GuessLimits, Scarce

try:
    import fcntl
except ImportError:  # pragma: no cover -- Windows: each program for itself
    fcntl = None  # type: ignore[assignment]

logger = logging.getLogger(__name__)


class HostSlots:
    """Locked files in a folder; see ``p2p.proto.path.plans.Slots``.

    Where no file can be made there is nothing to share: then each program has its own limits only.

    Args:
        folder: Where; made when it is not there, for its owner alone.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._is_usable = fcntl is not None

    def take(self, what: Scarce) -> object | None:
        """Take a slot; None when all are taken."""
        for number in range(what.at_once):
            try:
                descriptor = self._lock(self._folder / f"{what}-{number}.lock")
            except BlockingIOError:
                continue
            except OSError as error:
                if self._is_usable:
                    logger.warning("guessing ports without regard to other programs: %s", error)
                self._is_usable = False
            else:
                return descriptor
            return self
        return None

    def give_back(self, slot: object) -> None:
        """Return a slot."""
        if isinstance(slot, int):
            with contextlib.suppress(OSError):
                os.close(slot)

    def _lock(self, path: Path) -> int | None:
        if not self._is_usable:
            raise OSError("no locks on this system")
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise
        return descriptor


def guess_limits(folder: Path | None) -> GuessLimits:
    """Make the limits of one program.

    Args:
        folder: What it shares with others; None when it shares nothing.
    """
    return GuessLimits(None if folder is None else HostSlots(folder))
