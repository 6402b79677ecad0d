"""aioquic behind the engine interface: the reference, pure Python."""

from __future__ import annotations

import ssl
from typing import Any, Final, Literal

from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from p2p.defaults import QUIC_INITIAL_RTT_S
from p2p.errors import IdentityError
from p2p.quic.adapter import MAX_DATAGRAM_FRAME_BYTES, SecretSink
from p2p.quic.aioquic_plain import AioquicConnection
from p2p.quic.engine import ALPN, CONNECTION_ID_BYTES, EngineConfig, EngineConnection, ServerCredentials
from p2p.quic.library import LibraryEngine

TUNED_VERSIONS: Final = ("1.7.",)
"""Beginnings of the versions whose insides ``aioquic_tuned`` knows."""

_QUIC_VERSION_1: Final = 1


class AioquicEngine(LibraryEngine):
    """The aioquic library.

    Args:
        is_tuned: False keeps to the library's public interface; None uses its insides where they are known.
    """

    def __init__(self, *, is_tuned: Literal[False] | None = None) -> None:
        super().__init__("aioquic", TUNED_VERSIONS, is_tuned=is_tuned)

    def _configure(
        self, config: EngineConfig, sink: SecretSink, credentials: ServerCredentials | None
    ) -> QuicConfiguration:
        configuration = QuicConfiguration(
            is_client=credentials is None,
            alpn_protocols=[ALPN],
            connection_id_length=CONNECTION_ID_BYTES,
            congestion_control_algorithm="cubic",
            idle_timeout=config.idle_timeout_s,
            initial_rtt=QUIC_INITIAL_RTT_S,
            max_data=config.connection_window_bytes,
            max_datagram_frame_size=MAX_DATAGRAM_FRAME_BYTES,
            max_datagram_size=config.packet_bytes,
            max_stream_data=config.stream_window_bytes,
            secrets_log_file=sink,  # type: ignore[arg-type]  # it only writes and flushes
            supported_versions=[_QUIC_VERSION_1],
            # No authority vouches for a peer: the caller compares the key. TLS still checks that the peer owns it.
            verify_mode=ssl.CERT_NONE,
        )
        if credentials is not None:
            try:
                configuration.certificate = x509.load_pem_x509_certificate(credentials.certificate_pem)
                configuration.private_key = load_pem_private_key(credentials.private_key_pem, password=None)
            except (ValueError, TypeError) as error:
                raise IdentityError(f"unusable certificate or key: {error}") from error
        return configuration

    def _plain(
        self, configuration: Any, config: EngineConfig, sink: SecretSink, initial_dcid: bytes | None
    ) -> EngineConnection:
        quic = QuicConnection(configuration=configuration, original_destination_connection_id=initial_dcid)
        return AioquicConnection(quic, config, sink)


ENGINE_CLASS: Final = AioquicEngine
"""What ``load_engine`` makes."""
