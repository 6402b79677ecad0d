"""The name of a service: what a ticket carries, the rendezvous stores and a stream's header repeats."""

from __future__ import annotations

import re
from typing import Final

SERVICE_NAME_MAX_CHARACTERS: Final = 63
"""As long as one label of a host name, which a gateway may make of it."""
SERVICE_NAME_PATTERN: Final = r"^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?\Z"
"""Lower-case letters, digits, dots, dashes and underscores; a letter or digit at both ends."""

INSTANCE_PATTERN: Final = r"^([a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?)?\Z"
"""What tells the programs of one key apart: like a service's name, or empty."""

_compiled: Final = re.compile(SERVICE_NAME_PATTERN)


def is_service_name(text: str) -> bool:
    """Whether the text can name a service."""
    return _compiled.match(text) is not None
