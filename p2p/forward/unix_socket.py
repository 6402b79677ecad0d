"""Unix domain sockets to listen on: for their owner only, and nothing left behind."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import struct
from typing import Final

from p2p import defaults
from p2p.target import UnixTarget

_CREDENTIALS: Final = struct.Struct("3i")  # Source: struct ucred in unix(7): process, user, group
_OWNER_ONLY: Final = 0o600


class UnixListener:
    """A listening Unix socket that only this user, and root, can connect to.

    A file keeps others out by its mode. An abstract name has none, so there whoever connects is asked for.

    Args:
        target: Where to listen. A socket file that nobody listens on is replaced.

    Raises:
        OSError: It cannot be made, or another program listens there.
    """

    def __init__(self, target: UnixTarget) -> None:
        self.target = target
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._inode: tuple[int, int] | None = None
        try:
            # On Linux the file gets the mode of the socket, so that there is no moment in which it is open to all.
            os.fchmod(self.socket.fileno(), _OWNER_ONLY)
            if not target.is_abstract:
                _remove_stale(target.path)
            self.socket.bind(target.address)
            if not target.is_abstract:
                self._inode = _inode(target.path)
            self.socket.listen(defaults.FORWARD_BACKLOG)
        except OSError:
            self.close()
            raise

    def admits(self, connection: socket.socket) -> bool:
        """Tell whether the program at the other end of a connection may use it."""
        if not self.target.is_abstract:
            return True
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        return _CREDENTIALS.unpack(credentials)[1] in (0, os.geteuid())

    def close(self) -> None:
        """Stop listening; the file goes, if it is still ours."""
        self.socket.close()
        if self._inode is not None:
            with contextlib.suppress(OSError):
                if _inode(self.target.path) == self._inode:
                    os.unlink(self.target.path)
            self._inode = None


def _inode(path: str) -> tuple[int, int]:
    found = os.lstat(path)
    return found.st_dev, found.st_ino


def _remove_stale(path: str) -> None:
    """Remove a socket that a program left behind; whatever else has the name stays, and is an error at ``bind``."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.setblocking(False)
            try:
                probe.connect(path)
            except ConnectionRefusedError:
                os.unlink(path)
            except BlockingIOError:  # its queue is full: somebody listens
                return
