"""Calling back into the application."""

from __future__ import annotations

import logging
from collections.abc import Callable

logger = logging.getLogger(__name__)


def ignore(*_: object) -> None:
    """What a callback is until somebody sets it."""


def call(callback: Callable[..., object], *arguments: object) -> None:
    """Call back; what a remote message makes the callback raise must not end the connection.

    Args:
        callback: The application's.
        *arguments: Handed over as they are.
    """
    try:
        callback(*arguments)
    except Exception:
        logger.exception("a signalling callback failed")
