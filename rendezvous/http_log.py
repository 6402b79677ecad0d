"""What the HTTP library logs: its own and our mistakes, but not every mistake of a stranger."""

from __future__ import annotations

import logging

from aiohttp.http_exceptions import HttpProcessingError

http_logger = logging.getLogger("rendezvous.http")
"""For the library in place of its own."""


class StrangersMistakes(logging.Filter):
    """Drops what anybody can cause at will: bad requests, and clients that leave before they have their answer.

    The library logs each with a traceback, which fills a disk faster than an attacker's line is slow.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """See ``logging.Filter``."""
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, HttpProcessingError | ConnectionError)


http_logger.addFilter(StrangersMistakes())
