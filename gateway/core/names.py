"""Host names of published services."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

HOST_MAX_CHARACTERS: Final = 253

_RANDOM_CHARACTERS: Final = "abcdefghijkmnpqrstuvwxyz23456789"
_RANDOM_LENGTH: Final = 10
_ANY_HOST: Final = re.compile(r"[a-z0-9._-]+|\[[0-9a-f:.]+\]")
_LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z")


def is_label(text: str) -> bool:
    """Whether the text is one label of a host name, in lower case."""
    return _LABEL.match(text) is not None


def is_host(text: str) -> bool:
    """Whether the text is a host name of at least two labels, in lower case; an IP address is none."""
    labels = text.split(".")
    return (
        len(text) <= HOST_MAX_CHARACTERS
        and len(labels) > 1
        and all(is_label(label) for label in labels)
        and not labels[-1].isdigit()
    )


def may_be_host(text: str) -> bool:
    """Whether the text, in lower case, could be the host of a URL: a name or an address, and nothing beside."""
    return len(text) <= HOST_MAX_CHARACTERS and _ANY_HOST.fullmatch(text) is not None


def random_label(random_bytes: Callable[[int], bytes]) -> str:
    """Choose a label that nobody guesses.

    Args:
        random_bytes: Source of what nobody guesses.
    """
    return "".join(_RANDOM_CHARACTERS[byte % len(_RANDOM_CHARACTERS)] for byte in random_bytes(_RANDOM_LENGTH))


def host_of_header(value: str) -> str:
    """Take the host out of a Host header: lower case, without the port and without a dot at the end.

    Args:
        value: ``Blog.example:8443`` or ``[2001:db8::1]:80``.
    """
    host, _, port = value.strip().rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or host.endswith(":"):
        host = value.strip()
    return host.lower().rstrip(".")
