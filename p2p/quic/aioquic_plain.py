"""One aioquic connection by the library's public interface; slower and with fewer streams than the tuned one."""

from __future__ import annotations

from typing import Any, Final

import aioquic.quic.events
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from p2p.errors import IdentityError
from p2p.quic.adapter import FacadeConnection, SecretSink
from p2p.quic.engine import EngineConfig

# Short header and tag of a full packet, and the header of its one STREAM frame with a long offset.
_PACKET_OVERHEAD_BYTES: Final = 27 + 12


class AioquicConnection(FacadeConnection):
    """One aioquic connection, by its public interface."""

    def __init__(self, quic: Any, config: EngineConfig, sink: SecretSink) -> None:
        super().__init__(quic, config, sink, aioquic.quic.events)
        self._written_bytes = 0

    def send(self, stream_id: int, data: bytes | memoryview, *, end: bool = False) -> None:
        """See ``EngineConnection``."""
        # The library appends to a bytearray, but keeps slices of it only as bytes.
        super().send(stream_id, bytes(data), end=end)
        self._written_bytes += len(data)

    def poll(self, now: float, limit: int) -> list[bytes]:
        """See ``EngineConnection``; the library builds all that its window and pacer allow."""
        packets = super().poll(now, limit)
        if self._written_bytes:
            sent = sum(map(len, packets)) - _PACKET_OVERHEAD_BYTES * len(packets)
            self._written_bytes = max(0, self._written_bytes - max(0, sent))
        return packets

    def unsent_bytes(self, stream_id: int | None = None) -> int:
        """See ``EngineConnection``; an estimate over all streams, the public interface does not tell."""
        return self._written_bytes

    def _peer_spki(self) -> bytes:
        # There is no public way to the peer's certificate. Should this one go, no peer can be recognised: refuse.
        certificate = getattr(self._quic.tls, "_peer_certificate", None)
        if certificate is None:
            raise IdentityError("this version of aioquic does not show the peer's certificate")
        spki: bytes = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return spki
