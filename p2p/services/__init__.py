"""Services that an exposer has built in: they are reached as any other, by a stream, and open no port."""

from __future__ import annotations

from typing import Final

FILES_SERVICE: Final = "p2p/files"
"""A folder to read, and one to put files into, over HTTP; see ``p2p.services.files``."""
