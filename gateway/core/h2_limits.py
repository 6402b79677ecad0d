"""How much nonsense one HTTP/2 connection may cause before it is closed."""

from __future__ import annotations

from enum import Enum
from typing import Final

from p2p.proto.token_bucket import TokenBucket

STREAMS_MAX: Final = 100
"""Requests of one connection at a time. Source: the least that RFC 9113 section 6.5.2 recommends."""
HEADERS_MAX_BYTES: Final = 65_536
"""All fields of one request, unpacked and with 32 bytes for each. Four times nginx's; cookies are large."""
HEADERS_MAX: Final = 128
"""Fields of one request, as many as with HTTP/1.1."""
STREAM_WINDOW_BYTES: Final = 512 << 10
"""What a visitor may send of one body before the service has taken it: 10 MB/s at 50 ms."""
CONNECTION_WINDOW_BYTES: Final = 2 << 20
"""The same of all bodies of a connection: a slow service holds this much memory for each connection, and no more."""
REQUESTS_MAX: Final = 10_000
"""Requests of one connection; then the visitor is asked to make a new one, so that nothing grows for ever."""


class Nuisance(Enum):
    """What costs us something and brings no request on: a rate, and how much may come at once.

    The values are (per second, at once). Browsers and gRPC clients stay far below.
    """

    RESET = (20.0, 200.0)
    """A request that was begun and broken off, by either side (CVE-2023-44487, CVE-2025-8671): a page that is left
    breaks off all its requests at once, which are at most ``STREAMS_MAX``."""
    CONTROL = (20.0, 400.0)
    """PING, SETTINGS, PRIORITY, an unknown frame, or a DATA frame without data (CVE-2019-9512, -9515, -9518)."""
    SMALL_WINDOW = (100.0, 1000.0)
    """A window opened by less than ``SMALL_WINDOW_BYTES`` (CVE-2019-9511): each makes a frame of a few bytes."""


SMALL_WINDOW_BYTES: Final = 256


class Patience:
    """Counts nuisances of one connection."""

    def __init__(self) -> None:
        self._buckets = {kind: TokenBucket(*kind.value) for kind in Nuisance}

    def has_ended(self, kind: Nuisance, now: float) -> bool:
        """Count one, and tell whether that was one too many.

        Args:
            kind: What it was.
            now: The monotonic time.
        """
        return not self._buckets[kind].take(now)
