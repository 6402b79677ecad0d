"""The insides of qh3 that we use, all of them, for the versions in which they were checked."""

from __future__ import annotations

import logging
from typing import Any, Final

from qh3._hazmat import QuicConnectionCore
from qh3.quic import connection as library
from qh3.quic.configuration import QuicConfiguration

from p2p.defaults import QUIC_IDLE_MOMENTS_S
from p2p.errors import LocalProtocolError
from p2p.quic.adapter import SecretSink, terminated
from p2p.quic.engine import PEER_ADDRESS, ConnectionStats, EngineConfig, EngineEvent, HandshakeCompleted
from p2p.quic.qh3_builder import PACKET_BYTES_AT, PacketBuilder, SpoiltPacketError
from p2p.quic.qh3_feed import StreamFeed
from p2p.quic.qh3_plain import Qh3Connection
from p2p.quic.varint import replace_parameter

logger = logging.getLogger(__name__)

_INITIAL_MAX_STREAMS_BIDI: Final = 0x08  # Source: RFC 9000 section 18.2
_UNIDIRECTIONAL_STREAMS: Final = 103  # the library's own number; the tunnel has none
_ACK_DELAY_EXPONENT: Final = 3
_MAX_ACK_DELAY_S: Final = 0.025

_CONNECTION_NAMES: Final = (
    "_applied_transport_parameters",
    "_close_event",
    "_core",
    "_create_core",
    "_create_tls",
    "_drain_core",
    "_pre_handshake_state_replayed",
    "_version",
)
_CORE_NAMES: Final = (
    "active_path",
    "apply_peer_transport_parameters",
    "bytes_in_flight",
    "congestion_window",
    "get_send_buffer_size",
    "get_timer",
    "handle_timer",
    "latest_rtt",
    "loss_total",
    "poll_transmit",
    "pto_total",
    "receive_datagram",
    "receive_gro_buffer",
    "smoothed_rtt",
)


def check() -> None:
    """Look whether every private name used here exists, and the core takes the arguments we give it.

    Raises:
        AttributeError: Something is different.
    """
    probe = _UncappedQuicConnection(configuration=QuicConfiguration(is_client=True))
    probe.max_streams = 1
    for name in _CONNECTION_NAMES:
        getattr(probe, name)
    try:
        probe._version = 1
        probe._create_core(PEER_ADDRESS, bytes(8), 0.0)
    except TypeError as error:
        raise AttributeError(f"QuicConnectionCore: {error}") from error
    for name in _CORE_NAMES:
        getattr(probe._core, name)


def make(
    configuration: QuicConfiguration, config: EngineConfig, sink: SecretSink, initial_dcid: bytes | None
) -> TunedQh3Connection:
    """Make a tuned connection; a server's is named by its client's first destination id."""
    if config.max_packet_bytes > config.packet_bytes:
        # The core has no way to make packets longer that were made shorter. A server begins with the longest, and the
        # link below cuts them where the path is narrow. A client would fall back for good when its first packet takes
        # long to be answered; but it probes by itself, and what is cut below always comes through.
        configuration.probe_datagram_size = configuration.is_client
        if not configuration.is_client:
            configuration.max_datagram_size = config.max_packet_bytes
    quic = _UncappedQuicConnection(configuration=configuration, original_destination_connection_id=initial_dcid)
    quic.max_streams = config.max_streams
    return TunedQh3Connection(quic, config, sink)


class _UncappedQuicConnection(library.QuicConnection):
    """Allows ``max_streams`` streams instead of 100, and sends to the peer without the amplification limit.

    The limit protects third parties from answers to a forged source address, and the link below has it. The library
    counts packets without the padding of their datagram, so that a handshake with a client that pads stalls for 0.8 s.
    """

    max_streams: int

    def _create_core(self, remote_addr: Any, initial_dcid: bytes, now: float) -> None:
        configuration = self._configuration
        assert self._version is not None, "the library sets it before it makes the core"
        self._core = QuicConnectionCore(
            is_client=self._is_client,
            version=self._version,
            local_addr=("0.0.0.0", 0),  # noqa: S104  # a placeholder: the core opens no socket
            remote_addr=remote_addr,
            source_cid=self.host_cid,
            destination_cid=initial_dcid,
            peer_address_validated=True,
            active_connection_id_limit=2 if self._is_client else 8,
            max_datagram_size=configuration.max_datagram_size,
            probe_datagram_size=configuration.probe_datagram_size,
            idle_timeout=configuration.idle_timeout,
            ack_delay_exponent=_ACK_DELAY_EXPONENT,
            max_datagram_frame_size=configuration.max_datagram_frame_size,
            # What the peer allows is 0 until its transport parameters arrive: we resume no sessions.
            peer_max_datagram_frame_size=None,
            connection_receive_window=configuration.max_data,
            connection_send_limit=0,
            stream_receive_window=configuration.max_stream_data,
            stream_send_limit_bidi_local=0,
            stream_send_limit_bidi_remote=0,
            stream_send_limit_uni=0,
            max_stream_reassembly=configuration.max_stream_data,
            local_max_streams_bidi=self.max_streams,
            local_max_streams_uni=_UNIDIRECTIONAL_STREAMS,
            peer_max_streams_bidi=0,
            peer_max_streams_uni=0,
            initial_rtt=configuration.initial_rtt,
            max_ack_delay=_MAX_ACK_DELAY_S,
            initial_time=now,
        )
        self._applied_transport_parameters = None
        self._pre_handshake_state_replayed = False

    def _create_tls(self, remote_source_cid: bytes | None) -> Any:
        bridge = super()._create_tls(remote_source_cid)
        bridge.tls.handshake_extensions = [
            (kind, replace_parameter(data, _INITIAL_MAX_STREAMS_BIDI, self.max_streams))
            for kind, data in bridge.tls.handshake_extensions
        ]
        return bridge


class TunedQh3Connection(Qh3Connection):
    """A qh3 connection whose native core is called without detours."""

    def __init__(self, quic: Any, config: EngineConfig, sink: SecretSink) -> None:
        super().__init__(quic, config, sink)
        self._builder = PacketBuilder(quic)
        self._feed = StreamFeed(quic, config.packet_bytes)
        self._idle_until: float | None = None

    def receive(self, buffer: bytes, segment_size: int, now: float) -> None:
        """See ``EngineConnection``."""
        if not self._is_handshake_complete:
            super().receive(buffer, segment_size, now)
            return
        core = self._quic._core
        try:
            if len(buffer) <= segment_size:
                core.receive_datagram(buffer, PEER_ADDRESS, now)
            else:
                core.receive_gro_buffer(buffer, segment_size, PEER_ADDRESS, now)
            self._builder.received(now)
        except Exception as error:
            self._note(error, now)

    def poll(self, now: float, limit: int) -> list[bytes]:
        """See ``EngineConnection``."""
        # The public method parses every packet again for a log that nobody asked for.
        packets = self._builder.early()
        if self._quic._core is None:
            return packets
        try:
            is_fed = True
            while is_fed and len(packets) < limit:
                # Fed first: the core's pacer counts a packet each time it is asked, even if there is none.
                is_fed = bool(self._feed) and self._feed.feed(
                    self._builder.room_bytes, self._builder.window_bytes, self.packet_bytes
                )
                self._builder.build(packets, now, limit)
                self._feed.sent()
        except Exception as error:
            self._note(error, now)
        return packets

    def get_timer(self) -> float | None:
        """See ``EngineConnection``."""
        at, wake_at = super().get_timer(), self._builder.wake_at
        return at if wake_at is None or at is None else min(at, wake_at)

    def handle_timer(self, now: float) -> None:
        """See ``EngineConnection``."""
        if self._quic._core is None:
            return
        try:
            self._builder.handle_timer(now)
        except Exception as error:
            self._note(error, now)

    def send(self, stream_id: int, data: bytes | memoryview, *, end: bool = False) -> None:
        """See ``EngineConnection``."""
        if not self._is_handshake_complete or self._is_closed():
            super().send(stream_id, data, end=end)
            return
        try:
            self._feed.send(stream_id, data, end, self._builder.room_bytes)
        except Exception as error:
            if not self._is_closed():
                raise LocalProtocolError(f"stream {stream_id} takes no more data: {error}") from error

    def reset(self, stream_id: int, code: int) -> None:
        """See ``EngineConnection``."""
        self._feed.forget(stream_id)
        super().reset(stream_id, code)

    def stop(self, stream_id: int, code: int) -> None:
        """See ``EngineConnection``."""
        self._builder.stop_requested()
        super().stop(stream_id, code)

    def unsent_bytes(self, stream_id: int | None = None) -> int:
        """See ``EngineConnection``."""
        return super().unsent_bytes(stream_id) + self._feed.unsent_bytes(stream_id)

    def next_event(self) -> EngineEvent | None:
        """See ``EngineConnection``."""
        event = super().next_event()
        if type(event) is HandshakeCompleted and self.is_client:
            # How far the core probes, once the handshake is confirmed.
            self._limit_packets(self._config.max_packet_bytes)
        if event is None and not self._is_terminated:
            closed = self._quic._close_event
            if closed is not None and self._quic._core.state == "draining":
                # The peer has closed; the library would tell after three more probe timeouts.
                return self._terminate(terminated(closed))
        return event

    @property
    def congestion_room_bytes(self) -> int:
        """See ``EngineConnection``."""
        return self._builder.room_bytes

    def path_up(self, now: float) -> None:
        """See ``EngineConnection``."""
        core = self._quic._core
        timer = None if core is None or self._is_handshake_complete else core.get_timer()
        if timer is not None and timer[0] == "loss_detection":
            # A ping cannot be sent yet. The probe timeout, ahead of its time, repeats what was sent.
            try:
                core.handle_timer(max(now, timer[1]))
            except Exception as error:
                self._count(error, now)
        else:
            super().path_up(now)

    def path_changed(self, now: float) -> None:
        """See ``EngineConnection``."""
        if self._quic._core is not None:
            self._builder.path_changed(now)
        self.path_up(now)

    @property
    def packet_bytes(self) -> int:
        """See ``EngineConnection``."""
        core = self._quic._core
        return self._config.packet_bytes if core is None else int(core.active_path[PACKET_BYTES_AT])

    def shorten_packets(self, size: int) -> None:
        """See ``EngineConnection``; for good."""
        if self._is_handshake_complete:
            self._limit_packets(size)

    def wants_idle(self, now: float) -> bool:
        """See ``EngineConnection``; only a client, and only for a while: a probe that is lost ends the search."""
        if self._idle_until is None:
            self._idle_until = now + QUIC_IDLE_MOMENTS_S if self.is_client else 0.0
        if now >= self._idle_until:
            return False
        if self.packet_bytes >= self._config.max_packet_bytes:
            self._idle_until = 0.0
            return False
        return self.unsent_bytes() > 0

    @property
    def loss_mark(self) -> object:
        """See ``EngineConnection``."""
        core = self._quic._core
        return None if core is None else core.loss_total + core.pto_total

    @property
    def stats(self) -> ConnectionStats:
        """See ``EngineConnection``."""
        core = self._quic._core
        if core is None:
            return super().stats
        return ConnectionStats(
            congestion_window_bytes=core.congestion_window,
            bytes_in_flight=core.bytes_in_flight,
            smoothed_rtt_s=core.smoothed_rtt,
            packet_bytes=self.packet_bytes,
            lost_packets=core.loss_total,
            guarded_errors=self._guarded_errors,
        )

    def _note(self, error: Exception, now: float) -> None:
        (self._spoilt if isinstance(error, SpoiltPacketError) else self._count)(error, now)

    def _limit_packets(self, size: int) -> None:
        """Repeat the peer's transport parameters, and say that it takes no longer packets."""
        parameters = self._quic._applied_transport_parameters
        try:
            self._quic._core.apply_peer_transport_parameters(
                parameters.initial_max_data or 0,
                parameters.initial_max_stream_data_bidi_local or 0,
                parameters.initial_max_stream_data_bidi_remote or 0,
                parameters.initial_max_stream_data_uni or 0,
                parameters.initial_max_streams_bidi or 0,
                parameters.initial_max_streams_uni or 0,
                _ACK_DELAY_EXPONENT if parameters.ack_delay_exponent is None else parameters.ack_delay_exponent,
                _MAX_ACK_DELAY_S if parameters.max_ack_delay is None else parameters.max_ack_delay / 1000,
                parameters.max_idle_timeout / 1000 if parameters.max_idle_timeout else None,
                parameters.max_datagram_frame_size,
                None,  # the reset token, which it has
                parameters.active_connection_id_limit or 2,
                bool(parameters.disable_active_migration),
                size,
            )
        except Exception as error:
            logger.debug("qh3 does not change the size of packets: %r", error)
