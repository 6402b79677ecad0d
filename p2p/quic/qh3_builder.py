"""How packets, and what happened, are taken out of qh3's core."""

from __future__ import annotations

from typing import Any, Final

from p2p.defaults import QUIC_HOLD_EVENTS_S, QUIC_PATH_CHANGE_PACKETS, QUIC_POLL_PACKETS
from p2p.quic.qh3_flight_cap import FlightCap

PACKET_BYTES_AT: Final = 5
"""Where the core's ``active_path`` has the size of a full packet."""

_PROBES: Final = 2
"""How many packets a probe timeout may send. Source: RFC 9002 section 6.2.4."""


class PacketBuilder:
    """Builds packets within the cap that follows a change of path, and takes events when it is safe.

    The core forgets a stream as soon as it has said that the stream is over. A frame of that stream that still waits
    for the congestion window then spoils the packet it is put into, and all in that packet is lost for good. Frames
    wait so long only when they are sent again, or ask the peer to stop. So those leave first, and what happened is told
    when they have.

    Args:
        quic: The library's connection.

    Attributes:
        hold_until: When ``take_events`` must be called again, because it held something back; or None.
    """

    __slots__ = ("_cap", "_early", "_losses", "_may_frames_wait", "_probes", "_probes_due", "_quic", "hold_until")

    def __init__(self, quic: Any) -> None:
        self.hold_until: float | None = None
        self._quic = quic
        self._cap: FlightCap | None = None
        self._early: list[bytes] = []
        self._losses = 0
        self._may_frames_wait = False
        self._probes = 0
        self._probes_due = 0

    @property
    def room_bytes(self) -> int:
        """How much more may be in flight now."""
        core = self._quic._core
        window = core.congestion_window if self._cap is None else min(core.congestion_window, self._cap.bytes)
        return int(window - core.bytes_in_flight)

    def path_changed(self, now: float) -> None:
        """Begin with a small window again: the core has no way to reset its own."""
        self._cap = FlightCap(now, self._quic._core.loss_total)
        self._probes = QUIC_PATH_CHANGE_PACKETS

    def stop_requested(self) -> None:
        """The core was told to ask the peer to stop."""
        self._may_frames_wait = True

    def handle_timer(self, now: float) -> None:
        """Let the core act on the timers that are due."""
        core = self._quic._core
        self._probes = _PROBES
        timeouts = core.pto_total
        core.handle_timer(now)
        if core.pto_total != timeouts:
            self._probes_due = _PROBES
            self._may_frames_wait = True

    def take_events(self, now: float) -> None:
        """Have the core say what happened."""
        core = self._quic._core
        if core.loss_total != self._losses:
            self._losses = core.loss_total
            self._may_frames_wait = True
        if self._may_frames_wait:
            self._build_watchfully(core, self._early, now, QUIC_POLL_PACKETS)
            if self._may_frames_wait:
                if self.hold_until is None:
                    self.hold_until = now + QUIC_HOLD_EVENTS_S
                if now < self.hold_until:
                    return
        self.hold_until = None
        self._quic._drain_core()

    def early(self) -> list[bytes]:
        """Take the packets that were built on the way."""
        packets, self._early = self._early, []
        return packets

    def build(self, packets: list[bytes], now: float, limit: int) -> None:
        """Append packets until there are ``limit`` of them or the core has no more for now.

        Raises:
            Exception: The core failed. A packet that it was building is lost, and what was in it is not sent again.
        """
        core = self._quic._core
        if self._cap is not None or self._may_frames_wait:
            self._build_watchfully(core, packets, now, limit)
            return
        poll_transmit, append = core.poll_transmit, packets.append
        while len(packets) < limit:
            transmit = poll_transmit(now)
            if transmit is None:
                return
            append(transmit[0])

    def _build_watchfully(self, core: Any, packets: list[bytes], now: float, limit: int) -> None:
        """Build within the cap, and see by what the core does whether frames wait for its window."""
        cap = self._cap
        if cap is not None and cap.is_over(core, now):
            self._cap = cap = None
        while len(packets) < limit:
            if cap is not None and core.bytes_in_flight >= cap.bytes:
                # ACKs and probes are never held back: without them nothing would ever be in flight less.
                timer = core.get_timer()
                is_ack_due = timer is not None and timer[0].startswith("ack") and timer[1] <= now
                if not is_ack_due:
                    if self._probes <= 0:
                        return
                    self._probes -= 1
            is_full = core.congestion_window - core.bytes_in_flight < core.active_path[PACKET_BYTES_AT]
            transmit = core.poll_transmit(now)
            if transmit is None:
                if not is_full:
                    timer = core.get_timer()
                    # A pacer that says no has not looked at what there is to send.
                    self._may_frames_wait = timer is not None and timer[0] == "pacing"
                return
            packets.append(transmit[0])
            if self._probes_due:
                self._probes_due -= 1
            elif is_full:
                self._may_frames_wait = False  # only a packet without such frames leaves now
