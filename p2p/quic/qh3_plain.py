"""One qh3 connection by the library's public interface; slower and with fewer streams than the tuned one."""

from __future__ import annotations

from typing import Any

import qh3.quic.events

from p2p.quic.adapter import FacadeConnection, SecretSink
from p2p.quic.engine import PEER_ADDRESS, EngineConfig


class Qh3Connection(FacadeConnection):
    """One qh3 connection, by its public interface."""

    def __init__(self, quic: Any, config: EngineConfig, sink: SecretSink) -> None:
        super().__init__(quic, config, sink, qh3.quic.events)

    def receive(self, buffer: bytes, segment_size: int, now: float) -> None:
        """See ``EngineConnection``."""
        if not self._is_handshake_complete:
            super().receive(buffer, segment_size, now)
            return
        try:
            self._quic.receive_gro_buffer(buffer, segment_size, PEER_ADDRESS, now)
        except Exception as error:
            self._count(error, now)

    def unsent_bytes(self, stream_id: int | None = None) -> int:
        """See ``EngineConnection``."""
        count: int = self._quic.get_send_buffer_size(stream_id)
        return count

    def _peer_spki(self) -> bytes:
        # What qh3 calls the public key is the whole SubjectPublicKeyInfo.
        return bytes(self._quic.get_peercert().public_key())
