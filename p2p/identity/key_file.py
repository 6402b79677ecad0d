"""The key file: made once, atomically, and refused when somebody else could have read it."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path
from typing import Final

import platformdirs

from p2p.errors import IdentityError
from p2p.identity.errors import CODE_KEY_MODE, CODE_KEY_NOT_WRITABLE, CODE_KEY_OWNER, CODE_KEY_UNREADABLE

_APPLICATION: Final = "p2p"
_FILE_NAME: Final = "identity.pem"
_MAX_BYTES: Final = 4096
_OWNER_ONLY: Final = 0o600
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def config_folder() -> Path:
    """The folder of this user's key and known peers; not created by this call."""
    return platformdirs.user_config_path(_APPLICATION, appauthor=False)


def default_key_path() -> Path:
    """Where the key is when nobody says otherwise, such as ``~/.config/p2p/identity.pem``."""
    return config_folder() / _FILE_NAME


def read(path: Path) -> bytes | None:
    """Read the key file after a look at its owner and mode.

    Args:
        path: The file; a symbolic link is followed, and what counts is the file it leads to.

    Returns:
        The content, or None when there is no such file.

    Raises:
        IdentityError: Another owner, a mode that lets others in, no plain file, or an error of the file system.
    """
    try:
        # Not blocking, so that a FIFO in the place of the file is an error instead of a hang.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise IdentityError(f"cannot read {path}: {error.strerror}", code=CODE_KEY_UNREADABLE) from error
    try:
        # Looked up on the open descriptor: the name may lead elsewhere a moment later.
        _check(path, os.fstat(descriptor))
        return os.read(descriptor, _MAX_BYTES)
    finally:
        os.close(descriptor)


def create(path: Path, pem: bytes) -> bytes:
    """Write a new key file with mode 0600, unless another process was faster.

    Args:
        path: The file; its folder is made with mode 0700 where it is missing.
        pem: The content.

    Returns:
        What the file holds: ``pem``, or what the other process wrote.

    Raises:
        IdentityError: The folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise IdentityError(f"cannot create {path.parent}: {error.strerror}", code=CODE_KEY_NOT_WRITABLE) from error
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(pem)
                file.flush()
                os.fsync(descriptor)
            # A link appears complete or not at all, and fails where a rename would replace the other's key.
            os.link(temporary, path)
        finally:
            temporary.unlink()
    except FileExistsError:
        existing = read(path)
        if existing is None:
            raise IdentityError(f"{path} appears and disappears", code=CODE_KEY_UNREADABLE) from None
        return existing
    except OSError as error:
        raise IdentityError(f"cannot create {path}: {error.strerror}", code=CODE_KEY_NOT_WRITABLE) from error
    return pem


def _check(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise IdentityError(f"{path} is not a plain file", code=CODE_KEY_UNREADABLE)
    if os.name != "posix":
        return
    if status.st_uid != os.geteuid():
        raise IdentityError(f"{path} belongs to user {status.st_uid}, not {os.geteuid()}", code=CODE_KEY_OWNER)
    if status.st_mode & _OTHERS:
        mode = stat.S_IMODE(status.st_mode)
        raise IdentityError(f"{path} has mode {mode:04o}: others can open it", code=CODE_KEY_MODE)
