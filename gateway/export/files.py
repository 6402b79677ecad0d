"""Files that other programs read while we write them."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Final

from gateway.export.nginx import CODE_EXPORT
from p2p.errors import ConfigError
from p2p.os_errors import reason_of

_MODE: Final = 0o644
"""Proxies read as a user of their own."""


def write_if_changed(path: Path, text: str) -> bool:
    """Put a text into a file, as a whole or not at all.

    Returns:
        Whether the file was another one before.

    Raises:
        ConfigError: It cannot be written.
    """
    try:
        if path.is_file() and path.read_text() == text:
            return False
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w") as file:
                file.write(text)
                os.fchmod(file.fileno(), _MODE)
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as error:
        raise ConfigError(f"{path}: {reason_of(error)}", code=CODE_EXPORT) from error
    return True
