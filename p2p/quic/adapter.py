"""What the adapters of both libraries share: they descend from one ancestor and kept its public interface.

An adapter comes in two kinds. The plain one uses the library's public interface only and works with any version. The
tuned one, a subclass, also uses insides of the one version it was written for; it is what makes connections fast.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections.abc import Callable
from types import ModuleType
from typing import Any, Final

from p2p.defaults import QUIC_ENGINE_ERROR_PAUSE_S
from p2p.errors import IdentityError, LocalProtocolError
from p2p.quic.endings import CLOSE_HANDLER_FAILED
from p2p.quic.engine import (
    CHANNEL_BINDING_LABEL,
    PEER_ADDRESS,
    ConnectionIdIssued,
    ConnectionIdRetired,
    ConnectionStats,
    ConnectionTerminated,
    DatagramReceived,
    EngineConfig,
    EngineEvent,
    HandshakeCompleted,
    SendingStopped,
    StreamDataReceived,
    StreamReset,
)

logger = logging.getLogger(__name__)

DATAGRAM_OVERHEAD_BYTES: Final = 30
"""Packet size less payload of a DATAGRAM frame: flags 1, connection id 8, packet number 2, tag 16, frame header 3."""

MAX_DATAGRAM_FRAME_BYTES: Final = 65_535
"""What we tell the peer it may put into a DATAGRAM frame: no limit beside the packet. Source: RFC 9221 section 3."""

_ED25519_SPKI_PREFIX: Final = bytes.fromhex("302a300506032b6570032100")
"""DER of a SubjectPublicKeyInfo up to the 32 bytes of an Ed25519 key. Source: RFC 8410 section 4."""

_UNLIMITED_ROOM: Final = 1 << 30

_INTERNAL_ERROR: Final = 0x01
"""Source: RFC 9000 section 20.1."""


def ed25519_key_of(spki: bytes) -> bytes:
    """Take the raw key out of a SubjectPublicKeyInfo.

    Raises:
        IdentityError: It holds another kind of key.
    """
    if len(spki) != len(_ED25519_SPKI_PREFIX) + 32 or not spki.startswith(_ED25519_SPKI_PREFIX):
        raise IdentityError("the peer's certificate holds no Ed25519 key")
    return spki[len(_ED25519_SPKI_PREFIX) :]


class SecretSink:
    """The file the libraries write a connection's TLS secrets to: keeps the binding, never the secrets."""

    def __init__(self) -> None:
        self.binding: bytes | None = None
        self._secrets: dict[str, bytes] = {}

    def write(self, line: str) -> None:
        """Take one line of the key log format: label, client random, secret in hex."""
        label, _random, secret = line.split()
        if label in {"CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0"}:
            self._secrets[label] = bytes.fromhex(secret)
        if len(self._secrets) == 2:
            key = self._secrets["CLIENT_TRAFFIC_SECRET_0"] + self._secrets["SERVER_TRAFFIC_SECRET_0"]
            self.binding = hmac.new(key, CHANNEL_BINDING_LABEL, hashlib.sha256).digest()
            self._secrets.clear()

    def flush(self) -> None:
        """Do nothing: there is no file."""


class FacadeConnection:
    """An ``EngineConnection`` over a library's ``QuicConnection``, by its public interface alone.

    Args:
        quic: The library's connection, made with a ``SecretSink`` as its key log.
        config: What it was configured from.
        sink: Its key log.
        events: The library's module of events.
    """

    def __init__(self, quic: Any, config: EngineConfig, sink: SecretSink, events: ModuleType) -> None:
        self.is_client: bool = quic.configuration.is_client
        self._quic = quic
        self._config = config
        self._sink = sink
        self._translate = _translations(events)
        self._stream_data = events.StreamDataReceived
        self._is_started = False
        self._is_handshake_complete = False
        self._guarded_errors = 0
        self._timer_not_before = 0.0
        self._is_terminated = False
        self._failure: ConnectionTerminated | None = None

    @property
    def host_connection_id(self) -> bytes:
        """See ``EngineConnection``."""
        connection_id: bytes = self._quic.host_cid
        return connection_id

    @property
    def initial_destination_cid(self) -> bytes:
        """See ``EngineConnection``."""
        connection_id: bytes = self._quic.original_destination_connection_id
        return connection_id

    def start(self, now: float) -> None:
        """See ``EngineConnection``."""
        if self.is_client and not self._is_started:
            self._quic.connect(PEER_ADDRESS, now)
            self._is_started = True

    def receive(self, buffer: bytes, segment_size: int, now: float) -> None:
        """See ``EngineConnection``."""
        self._is_started = True
        receive_datagram = self._quic.receive_datagram
        for start in range(0, len(buffer), segment_size):
            # Guarded one by one: a datagram that upsets the library must not take its neighbours along.
            try:
                receive_datagram(buffer[start : start + segment_size], PEER_ADDRESS, now)
            except Exception as error:
                self._count(error, now)

    def poll(self, now: float, limit: int) -> list[bytes]:
        """See ``EngineConnection``; the public interface knows no limit."""
        if not self._is_started:
            return []
        try:
            return [data for data, _address in self._quic.datagrams_to_send(now)]
        except Exception as error:
            self._spoilt(error, now)
            return []

    def get_timer(self) -> float | None:
        """See ``EngineConnection``."""
        if not self._is_started:
            return None
        if self._failure is not None:
            return self._timer_not_before
        at: float | None = self._quic.get_timer()
        # After an error in a timer's handling the same timer would be due again at once, for ever.
        return at if at is None else max(at, self._timer_not_before)

    def handle_timer(self, now: float) -> None:
        """See ``EngineConnection``."""
        try:
            self._quic.handle_timer(now)
        except Exception as error:
            self._count(error, now)

    def next_event(self) -> EngineEvent | None:
        """See ``EngineConnection``."""
        if self._failure is not None:
            return self._terminate(self._failure)
        while (event := self._quic.next_event()) is not None:
            if type(event) is self._stream_data:  # nearly all of them
                return StreamDataReceived(event.stream_id, event.data, event.end_stream)
            translate = self._translate.get(type(event))
            if translate is None:
                continue
            translated = translate(event)
            if type(translated) is HandshakeCompleted:
                self._is_handshake_complete = True
            elif type(translated) is ConnectionTerminated:
                return self._terminate(translated)
            return translated
        return None

    def open_stream(self) -> int:
        """See ``EngineConnection``."""
        try:
            stream_id: int = self._quic.get_next_available_stream_id()
            if not self._is_closed():
                # Writing nothing makes the stream exist, so that the next call returns another id.
                self._quic.send_stream_data(stream_id, b"")
        except Exception as error:
            raise LocalProtocolError(f"no stream can be opened: {error}") from error
        return stream_id

    def send(self, stream_id: int, data: bytes | memoryview, *, end: bool = False) -> None:
        """See ``EngineConnection``."""
        try:
            self._quic.send_stream_data(stream_id, data, end)
        except Exception as error:
            if not self._is_closed():
                raise LocalProtocolError(f"stream {stream_id} takes no more data: {error}") from error

    def reset(self, stream_id: int, code: int) -> None:
        """See ``EngineConnection``."""
        self._forgiving(self._quic.reset_stream, stream_id, code)

    def stop(self, stream_id: int, code: int) -> None:
        """See ``EngineConnection``."""
        self._forgiving(self._quic.stop_stream, stream_id, code)

    def unsent_bytes(self, stream_id: int | None = None) -> int:
        """See ``EngineConnection``."""
        raise NotImplementedError

    @property
    def packet_bytes(self) -> int:
        """See ``EngineConnection``; by the public interface it is one for the life of a connection."""
        return self._config.packet_bytes

    def lengthen_packets(self, size: int) -> None:
        """See ``EngineConnection``; not by the public interface."""

    def shorten_packets(self, size: int) -> None:
        """See ``EngineConnection``; not by the public interface."""

    def wants_idle(self, now: float) -> bool:
        """See ``EngineConnection``; not by the public interface."""
        return False

    @property
    def loss_mark(self) -> object:
        """See ``EngineConnection``; the public interface does not tell."""
        return None

    @property
    def congestion_room_bytes(self) -> int:
        """See ``EngineConnection``; the public interface does not tell, so there is always room."""
        return _UNLIMITED_ROOM

    @property
    def max_datagram_payload(self) -> int:
        """See ``EngineConnection``."""
        # One byte more than fits stops a connection of either library for good, and packets may become shorter while a
        # datagram waits in the library: so it never has more than what every path carries.
        return self._config.packet_bytes - DATAGRAM_OVERHEAD_BYTES if self._is_handshake_complete else 0

    def send_datagram(self, data: bytes) -> None:
        """See ``EngineConnection``."""
        if len(data) > self.max_datagram_payload:
            raise LocalProtocolError(f"datagram of {len(data)} bytes, at most {self.max_datagram_payload} fit")
        try:
            self._quic.send_datagram_frame(data)
        except Exception as error:
            raise LocalProtocolError(f"the connection takes no datagrams: {error}") from error

    def channel_binding(self) -> bytes:
        """See ``EngineConnection``."""
        if not self._is_handshake_complete or self._sink.binding is None:
            raise LocalProtocolError("there is no channel binding before the handshake is complete")
        return self._sink.binding

    def peer_public_key(self) -> bytes:
        """See ``EngineConnection``."""
        if not self.is_client or not self._is_handshake_complete:
            raise LocalProtocolError("only a client, after its handshake, knows its peer's certificate")
        return ed25519_key_of(self._peer_spki())

    def path_changed(self, now: float) -> None:
        """See ``EngineConnection``; the public interface can only probe."""
        self.path_up(now)

    def path_up(self, now: float) -> None:
        """See ``EngineConnection``."""
        self.ping()

    def ping(self) -> None:
        """See ``EngineConnection``."""
        if self._is_started:
            self._forgiving(self._quic.send_ping, 0)

    def request_key_update(self) -> None:
        """See ``EngineConnection``."""
        if self._is_handshake_complete:
            # A client's handshake is confirmed a round trip after it is complete; until then one library asserts.
            self._forgiving(self._quic.request_key_update)

    def close(self, code: int, reason: str, now: float) -> None:
        """See ``EngineConnection``."""
        if self._is_started:
            try:
                self._quic.close(error_code=code, reason_phrase=reason)
            except Exception as error:
                self._count(error, now)

    @property
    def stats(self) -> ConnectionStats:
        """See ``EngineConnection``; the public interface tells nothing of congestion."""
        return ConnectionStats(
            congestion_window_bytes=0,
            bytes_in_flight=0,
            smoothed_rtt_s=None,
            packet_bytes=self.packet_bytes,
            lost_packets=None,
            guarded_errors=self._guarded_errors,
        )

    # --- for the adapters ----------------------------------------------------------------------------------

    def _peer_spki(self) -> bytes:
        """The SubjectPublicKeyInfo of the certificate whose key the peer proved to own, in DER."""
        raise NotImplementedError

    def _is_closed(self) -> bool:
        """Whether the connection is over, though the events before the last one may still be handed out.

        A peer's last words often arrive together with its close frame, and whoever hears them may want to answer.
        """
        return getattr(self._quic, "_close_event", None) is not None  # there is no public way to know

    def _terminate(self, event: ConnectionTerminated) -> ConnectionTerminated | None:
        """Let the last event through once, whoever noticed the end first."""
        if self._is_terminated:
            return None
        self._is_terminated = True
        return event

    def _count(self, error: Exception, now: float) -> None:
        """Note a failure of the library: the connection loses a packet or times out for it, no more."""
        self._guarded_errors += 1
        self._timer_not_before = now + QUIC_ENGINE_ERROR_PAUSE_S
        logger.debug("the QUIC library failed: %r", error)

    def _spoilt(self, error: Exception, now: float) -> None:
        """End the connection: the packet being built is lost with all that was in it, and streams would hang.

        Handshakes repeat what is lost, and one library cannot yet be asked for packets when they begin.
        """
        self._count(error, now)
        if self._is_handshake_complete and self._failure is None:
            self._failure = ConnectionTerminated(
                code=_INTERNAL_ERROR, reason="the QUIC library failed", by_application=False, is_idle_timeout=False
            )
            self.close(CLOSE_HANDLER_FAILED, "internal error", now)

    def _forgiving(self, operation: Callable[..., object], *arguments: int) -> None:
        """Do something that is pointless, and refused in different ways, once a stream or connection is over."""
        try:
            operation(*arguments)
        except Exception as error:
            logger.debug("the QUIC library refused: %r", error)


def terminated(event: Any) -> ConnectionTerminated:
    """Translate the last event of either library."""
    reason: str = event.reason_phrase or ""
    is_idle = reason.lower() == "idle timeout"
    return ConnectionTerminated(
        code=int(event.error_code),
        reason="" if is_idle else reason,
        by_application=event.frame_type is None and not is_idle,
        is_idle_timeout=is_idle,
    )


def _translations(events: ModuleType) -> dict[type, Callable[[Any], EngineEvent]]:
    return {
        events.StreamReset: lambda e: StreamReset(e.stream_id, e.error_code),
        events.StopSendingReceived: lambda e: SendingStopped(e.stream_id, e.error_code),
        events.DatagramFrameReceived: lambda e: DatagramReceived(e.data),
        events.HandshakeCompleted: lambda e: HandshakeCompleted(e.alpn_protocol),
        events.ConnectionIdIssued: lambda e: ConnectionIdIssued(e.connection_id),
        events.ConnectionIdRetired: lambda e: ConnectionIdRetired(e.connection_id),
        events.ConnectionTerminated: terminated,
    }
