"""Letting an engine's packets follow what the path carries."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from p2p.defaults import QUIC_NARROW_AFTER_S, QUIC_PACKET_BYTES_MAX
from p2p.quic.engine import EngineConnection


class PacketSize:
    """Has longer packets made at once when the path carries them, and shorter ones when it has been narrow for a while.

    In between the link below cuts what is too long, so that nothing hangs on the moment.

    Concurrency: one event loop; one timer, gone after ``close``.

    Args:
        loop: The event loop.
        engine: Makes the packets.
        on_narrowed: Called when the path carries less than before: what is under way may be lost.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, engine: EngineConnection, *, on_narrowed: Callable[[], object]
    ) -> None:
        self._loop = loop
        self._engine = engine
        self._on_narrowed = on_narrowed
        self._carried = 0
        self._timer: asyncio.TimerHandle | None = None

    def follow(self, packet_bytes: int) -> None:
        """Learn what the path carries now.

        Args:
            packet_bytes: The longest packet, in bytes.
        """
        before, self._carried = self._carried, packet_bytes
        self._engine.lengthen_packets(packet_bytes)
        if packet_bytes >= QUIC_PACKET_BYTES_MAX:
            self.close()
        elif self._timer is None:
            self._timer = self._loop.call_later(QUIC_NARROW_AFTER_S, self._narrow)
        if packet_bytes < before:
            self._on_narrowed()

    def close(self) -> None:
        """Wait for nothing any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _narrow(self) -> None:
        self._timer = None
        self._engine.shorten_packets(self._carried)
