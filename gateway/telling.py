"""What the gateway tells a publisher, on the flow on which it asked to be published."""

from __future__ import annotations

import asyncio
from typing import Final

from p2p.proto.publication import GatewayMessage, Visited, encode_line

_NEWS_EVERY_S: Final = 0.1
"""News of visits go together: each by itself costs a twentieth of what the visit does."""
_NEWS_MAX_BYTES: Final = 1 << 18
"""News that wait here, or that a publisher has not read; more is dropped."""


class Teller:
    """Writes messages to a publisher; a publisher that does not read misses news, and nothing else.

    Args:
        writer: To the publisher.
    """

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._news = bytearray()
        self._timer: asyncio.TimerHandle | None = None

    def tell(self, message: GatewayMessage) -> None:
        """Tell at once, behind the news that wait."""
        self._flush()
        if not self._writer.is_closing():
            self._writer.write(encode_line(message))

    def tell_visit(self, visit: Visited) -> None:
        """Tell soon."""
        if len(self._news) < _NEWS_MAX_BYTES:
            self._news += encode_line(visit)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_NEWS_EVERY_S, self._flush)

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        is_read = self._writer.transport.get_write_buffer_size() < _NEWS_MAX_BYTES
        if self._news and is_read and not self._writer.is_closing():
            self._writer.write(bytes(self._news))
        self._news.clear()
