"""The insides of aioquic that we use, all of them, for the versions in which they were checked."""

from __future__ import annotations

import math
from typing import Any, Final

from aioquic.quic import connection as library
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.congestion.base import create_congestion_control
from aioquic.quic.events import StreamDataReceived
from aioquic.quic.packet import QuicStreamFrame
from aioquic.quic.recovery import QuicPacketPacer
from aioquic.quic.stream import QuicStreamReceiver

from p2p.defaults import QUIC_PACER_BURST_S, QUIC_PACKET_BYTES, QUIC_PATH_CHANGE_FLIGHT_BYTES
from p2p.quic.adapter import SecretSink, terminated
from p2p.quic.aioquic_plain import AioquicConnection
from p2p.quic.engine import ConnectionStats, EngineConfig, EngineEvent, HandshakeCompleted

_CONNECTION_NAMES: Final = (
    "_close_event",
    "_datagrams_pending",
    "_get_or_create_stream",
    "_local_max_data",
    "_local_max_streams_bidi",
    "_loss",
    "_max_datagram_size",
    "_state",
    "_streams",
    "_write_connection_limits",
    "_write_stream_limits",
)
_RECEIVER_NAMES: Final = ("_buffer_start", "_final_size")
_CONTROL_NAMES: Final = ("_congestion_recovery_start_time", "_max_datagram_size", "additive_increase_factor")
_RECOVERY_NAMES: Final = ("_cc", "_pacer", "_pto_count", "_rtt_initialized", "_rtt_min", "_rtt_smoothed")


def check() -> None:
    """Look whether every private name used here exists.

    Raises:
        AttributeError: One does not.
    """
    probe = library.QuicConnection(configuration=QuicConfiguration(is_client=True))
    for name in _CONNECTION_NAMES:
        getattr(probe, name)
    for name in _RECOVERY_NAMES:
        getattr(probe._loss, name)
    for name in _CONTROL_NAMES:
        getattr(create_congestion_control("cubic", max_datagram_size=QUIC_PACKET_BYTES), name)
    getattr(probe._loss._pacer, "_max_datagram_size")  # noqa: B009  # looked for, not used
    for name in _RECEIVER_NAMES:
        getattr(QuicStreamReceiver(0, True), name)


def make(
    configuration: QuicConfiguration, config: EngineConfig, sink: SecretSink, initial_dcid: bytes | None
) -> TunedAioquicConnection:
    """Make a tuned connection; a server's is named by its client's first destination id."""
    quic = _BoundedQuicConnection(configuration=configuration, original_destination_connection_id=initial_dcid)
    return TunedAioquicConnection(quic, config, sink)


class _BurstPacer(QuicPacketPacer):
    """Lets at least ``QUIC_PACER_BURST_S`` worth of packets go at once.

    The library's bucket holds 16 packets. An event loop wakes once a millisecond, so that would be the rate: 16
    packets a millisecond. Without any pacing, whole windows leave at once and overflow buffers on the way.
    """

    def update_rate(self, congestion_window: int, smoothed_rtt: float) -> None:
        super().update_rate(congestion_window=congestion_window, smoothed_rtt=smoothed_rtt)
        self.bucket_max = max(self.bucket_max, QUIC_PACER_BURST_S)


class _BoundedQuicConnection(library.QuicConnection):
    """Keeps flow control windows at their size; the library doubles them without end."""

    def _write_connection_limits(self, builder: Any, space: Any) -> None:
        limit = self._local_max_data
        window = self._configuration.max_data
        received = limit.used
        if limit.value - received < window // 2:
            limit.value = received + window
        limit.used = 0  # keeps the library's own rule quiet
        try:
            super()._write_connection_limits(builder, space)
        finally:
            limit.used = received

    def _write_stream_limits(self, builder: Any, space: Any, stream: Any) -> None:
        # Runs for every stream and packet: leave early.
        limit = stream.max_stream_data_local
        received = stream.receiver.highest_offset
        window = self._configuration.max_stream_data
        if limit - received < window // 2 and limit:
            stream.max_stream_data_local = limit = received + window
        if limit == stream.max_stream_data_local_sent:
            return
        stream.receiver.highest_offset = 0
        try:
            super()._write_stream_limits(builder, space, stream)
        finally:
            stream.receiver.highest_offset = received

    def _get_or_create_stream(self, frame_type: int, stream_id: int) -> Any:
        stream = super()._get_or_create_stream(frame_type, stream_id)
        if type(stream.receiver) is QuicStreamReceiver:
            stream.receiver.__class__ = EndKeepingReceiver
        return stream


class EndKeepingReceiver(QuicStreamReceiver):
    """Tells the end of a stream also when it arrived, alone in its frame, before the last bytes.

    The library forgets such an end, and whoever reads the stream waits for it for ever.
    """

    def handle_frame(self, frame: QuicStreamFrame) -> StreamDataReceived | None:
        """See ``QuicStreamReceiver``."""
        event = super().handle_frame(frame)
        if event is not None and not self.is_finished and self._buffer_start == self._final_size:
            self.is_finished = True
            event.end_stream = True
        return event


class TunedAioquicConnection(AioquicConnection):
    """An aioquic connection with its stream limit, pacer and congestion window under our control."""

    def __init__(self, quic: Any, config: EngineConfig, sink: SecretSink) -> None:
        super().__init__(quic, config, sink)
        self._wanted_bytes = config.packet_bytes
        limit = quic._local_max_streams_bidi
        limit.value = limit.sent = config.max_streams
        quic._loss._pacer = _BurstPacer(max_datagram_size=config.packet_bytes)

    def receive(self, buffer: bytes, segment_size: int, now: float) -> None:
        """See ``EngineConnection``."""
        super().receive(buffer, segment_size, now)
        congestion = self._quic._loss._cc
        # On a path without loss the window grows for ever, and all of it would be in flight when the path changes.
        if congestion.congestion_window > self._config.connection_window_bytes:
            congestion.congestion_window = self._config.connection_window_bytes

    def next_event(self) -> EngineEvent | None:
        """See ``EngineConnection``."""
        event = super().next_event()
        if type(event) is HandshakeCompleted:
            self._size_packets(self._wanted_bytes)
        if event is None and self._quic._state is library.QuicConnectionState.DRAINING and not self._is_terminated:
            # The peer has closed; the library would tell after three more probe timeouts.
            return self._terminate(terminated(self._quic._close_event))
        return event

    def unsent_bytes(self, stream_id: int | None = None) -> int:
        """See ``EngineConnection``."""
        streams = self._quic._streams
        if stream_id is None:
            return sum(s.sender._buffer_stop - s.sender.highest_offset for s in streams.values())
        stream = streams.get(stream_id)
        return 0 if stream is None else stream.sender._buffer_stop - stream.sender.highest_offset

    @property
    def packet_bytes(self) -> int:
        """See ``EngineConnection``."""
        return int(self._quic._max_datagram_size)

    def lengthen_packets(self, size: int) -> None:
        """See ``EngineConnection``."""
        self._wanted_bytes = max(self.packet_bytes, min(size, self._config.max_packet_bytes))
        if self._is_handshake_complete:  # the library pads the first packets to the full size
            self._size_packets(self._wanted_bytes)

    def shorten_packets(self, size: int) -> None:
        """See ``EngineConnection``."""
        self._wanted_bytes = min(self.packet_bytes, max(size, self._config.packet_bytes))
        self._size_packets(self._wanted_bytes)

    def _size_packets(self, size: int) -> None:
        loss = self._quic._loss
        self._quic._max_datagram_size = loss._pacer._max_datagram_size = size
        loss._cc._max_datagram_size = loss._cc.additive_increase_factor = size

    @property
    def loss_mark(self) -> object:
        """See ``EngineConnection``."""
        loss = self._quic._loss
        return loss._pto_count, loss._cc._congestion_recovery_start_time

    @property
    def congestion_room_bytes(self) -> int:
        """See ``EngineConnection``."""
        loss = self._quic._loss
        # The pacer may hold back what the window would allow.
        waiting = sum(map(len, self._quic._datagrams_pending))
        return int(loss.congestion_window - loss.bytes_in_flight - waiting)

    def path_changed(self, now: float) -> None:
        """See ``EngineConnection``."""
        loss = self._quic._loss
        fresh = create_congestion_control("cubic", max_datagram_size=self.packet_bytes)
        fresh.congestion_window = QUIC_PATH_CHANGE_FLIGHT_BYTES
        fresh.bytes_in_flight = loss._cc.bytes_in_flight
        loss._cc = fresh
        loss._rtt_initialized = False
        loss._rtt_min = math.inf
        self.path_up(now)

    def path_up(self, now: float) -> None:
        """See ``EngineConnection``."""
        loss = self._quic._loss
        loss._pto_count = 0
        if self._is_started:
            try:
                loss.reschedule_data(now=now)
            except Exception as error:
                self._count(error, now)

    @property
    def stats(self) -> ConnectionStats:
        """See ``EngineConnection``."""
        loss = self._quic._loss
        return ConnectionStats(
            congestion_window_bytes=loss.congestion_window,
            bytes_in_flight=loss.bytes_in_flight,
            smoothed_rtt_s=loss._rtt_smoothed if loss._rtt_initialized else None,
            packet_bytes=self.packet_bytes,
            lost_packets=None,
            guarded_errors=self._guarded_errors,
        )
