"""qh3 behind the engine interface: the default, with a native core."""

from __future__ import annotations

import ssl
from typing import Any, Final, Literal

from qh3.quic.configuration import QuicConfiguration
from qh3.quic.connection import QuicConnection
from qh3.tls import SignatureAlgorithm

from p2p.defaults import QUIC_INITIAL_RTT_S
from p2p.errors import IdentityError
from p2p.quic.adapter import MAX_DATAGRAM_FRAME_BYTES, SecretSink
from p2p.quic.engine import ALPN, CONNECTION_ID_BYTES, EngineConfig, EngineConnection, ServerCredentials
from p2p.quic.library import LibraryEngine
from p2p.quic.qh3_plain import Qh3Connection

TUNED_VERSIONS: Final = ("2.1.",)
"""Beginnings of the versions whose insides ``qh3_tuned`` knows."""


class Qh3Engine(LibraryEngine):
    """The qh3 library.

    Args:
        is_tuned: False keeps to the library's public interface; None uses its insides where they are known.
    """

    def __init__(self, *, is_tuned: Literal[False] | None = None) -> None:
        super().__init__("qh3", TUNED_VERSIONS, is_tuned=is_tuned)

    def _configure(
        self, config: EngineConfig, sink: SecretSink, credentials: ServerCredentials | None
    ) -> QuicConfiguration:
        configuration = QuicConfiguration(
            is_client=credentials is None,
            alpn_protocols=[ALPN],
            connection_id_length=CONNECTION_ID_BYTES,
            idle_timeout=config.idle_timeout_s,
            initial_rtt=QUIC_INITIAL_RTT_S,
            max_data=config.connection_window_bytes,
            max_datagram_frame_size=MAX_DATAGRAM_FRAME_BYTES,
            max_datagram_size=config.packet_bytes,
            max_stream_data=config.stream_window_bytes,
            # The library probes larger packets on its own, and for clients only; paths are probed below it.
            probe_datagram_size=False,
            secrets_log_file=sink,  # type: ignore[arg-type]  # it only writes and flushes
            # The library leaves Ed25519 out of what it accepts unless told otherwise.
            signature_algorithms=[SignatureAlgorithm.ED25519] if credentials is None else None,
            # No authority vouches for a peer: the caller compares the key. TLS still checks that the peer owns it.
            verify_mode=ssl.CERT_NONE,
        )
        if credentials is not None:
            try:
                configuration.load_cert_chain(credentials.certificate_pem, credentials.private_key_pem)
            except Exception as error:
                raise IdentityError(f"unusable certificate or key: {error}") from error
        return configuration

    def _plain(
        self, configuration: Any, config: EngineConfig, sink: SecretSink, initial_dcid: bytes | None
    ) -> EngineConnection:
        quic = QuicConnection(configuration=configuration, original_destination_connection_id=initial_dcid)
        return Qh3Connection(quic, config, sink)


ENGINE_CLASS: Final = Qh3Engine
"""What ``load_engine`` makes."""
