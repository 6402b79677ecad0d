"""How packets, and what happened, are taken out of qh3's core."""

from __future__ import annotations

from typing import Any, Final

from p2p.defaults import QUIC_HOLD_EVENTS_S, QUIC_PATH_CHANGE_PACKETS, QUIC_POLL_PACKETS, QUIC_STUCK_ACK_S
from p2p.quic.qh3_flight_cap import FlightCap

PACKET_BYTES_AT: Final = 5
"""Where the core's ``active_path`` has the size of a full packet."""

_PROBES: Final = 2
"""How many packets a probe timeout may send. Source: RFC 9002 section 6.2.4."""


class SpoiltPacketError(Exception):
    """The core failed to build a packet: what was in it is lost, and not sent again."""


class PacketBuilder:
    """Builds packets within the cap that follows a change of path, and takes events when it is safe.

    The core forgets a stream as soon as it has said that the stream is over. A frame of that stream that still waits
    for the congestion window then spoils the packet it is put into, and all in that packet is lost for good. Frames
    wait so long only when they are sent again, or ask the peer to stop. So those leave first, and what happened is told
    when they have.

    Args:
        quic: The library's connection.
    """

    __slots__ = (
        "_cap",
        "_early",
        "_has_repeats",
        "_heard_at",
        "_hold_until",
        "_is_probing",
        "_losses",
        "_may_frames_wait",
        "_owes_ack",
        "_probes",
        "_quic",
        "_stuck_until",
    )

    def __init__(self, quic: Any) -> None:
        self._quic = quic
        self._cap: FlightCap | None = None
        self._early: list[bytes] = []
        self._losses = 0
        self._has_repeats = False
        self._may_frames_wait = False
        self._is_probing = False
        self._owes_ack = False
        self._probes = 0
        self._heard_at = 0.0
        self._hold_until: float | None = None
        self._stuck_until: float | None = None

    @property
    def wake_at(self) -> float | None:
        """When ``handle_timer`` must be called for what the core does not know of."""
        return 0.0 if self._hold_until is not None and not self._may_frames_wait else self._stuck_until

    @property
    def window_bytes(self) -> int:
        """How much may be in flight now."""
        window: int = self._quic._core.congestion_window
        return window if self._cap is None else min(window, self._cap.bytes)

    @property
    def room_bytes(self) -> int:
        """How much more may be in flight now."""
        in_flight: int = self._quic._core.bytes_in_flight
        return self.window_bytes - in_flight

    def path_changed(self, now: float) -> None:
        """Begin with a small window again: the core has no way to reset its own."""
        self._cap = FlightCap(now, self._quic._core.loss_total)
        self._probes = QUIC_PATH_CHANGE_PACKETS

    def stop_requested(self) -> None:
        """The core was told to ask the peer to stop."""
        self._has_repeats = True

    def handle_timer(self, now: float) -> None:
        """Let the core act on the timers that are due, and say what happened.

        Raises:
            SpoiltPacketError: It failed on the way.
        """
        core = self._quic._core
        self._probes = _PROBES
        self._owes_ack |= _is_ack_due(core, now)
        self._time_out(core, now)
        self._take_events(core, now, is_late=False)

    def received(self, now: float) -> None:
        """Have the core say what happened when packets arrived.

        Raises:
            SpoiltPacketError: It failed on the way.
        """
        core = self._quic._core
        if core.loss_total != self._losses:
            self._losses = core.loss_total
            self._has_repeats = True
        is_late = False
        if self._hold_until is not None:
            if now - self._heard_at > QUIC_HOLD_EVENTS_S / 4:  # the network was away: nothing could leave
                self._hold_until = now + QUIC_HOLD_EVENTS_S
            is_late = now >= self._hold_until
        self._heard_at = now
        self._take_events(core, now, is_late=is_late)

    def early(self) -> list[bytes]:
        """Take the packets that were built on the way."""
        packets, self._early = self._early, []
        return packets

    def build(self, packets: list[bytes], now: float, limit: int) -> None:
        """Append packets until there are ``limit`` of them or the core has no more for now.

        Raises:
            SpoiltPacketError: The packets before are good and on the books of the core: they must leave.
        """
        core = self._quic._core
        if self._cap is not None or self._has_repeats:
            self._build_watchfully(core, packets, now, limit)
            return
        poll_transmit, append = core.poll_transmit, packets.append
        try:
            while len(packets) < limit:
                transmit = poll_transmit(now)
                if transmit is None:
                    return
                append(transmit[0])
        except Exception as error:
            raise SpoiltPacketError(repr(error)) from error

    def _take_events(self, core: Any, now: float, *, is_late: bool) -> None:
        if self._has_repeats:
            self._build_watchfully(core, self._early, now, QUIC_POLL_PACKETS)
            if self._may_frames_wait and not is_late:
                if self._hold_until is None:
                    self._hold_until = now + QUIC_HOLD_EVENTS_S
                return
        self._hold_until = None
        self._quic._drain_core()

    def _build_watchfully(self, core: Any, packets: list[bytes], now: float, limit: int) -> None:
        """Build within the cap, and see by what the core does whether frames wait for its window."""
        cap = self._cap
        if cap is not None and cap.is_over(core, now):
            self._cap = cap = None
        self._owes_ack |= _is_ack_due(core, now)
        packet_bytes = core.active_path[PACKET_BYTES_AT]
        room = 0
        while len(packets) < limit:
            # ACKs and probes are never held back: without them nothing would ever be in flight less.
            if cap is not None and core.bytes_in_flight >= cap.bytes and not self._owes_ack:
                if self._probes <= 0:
                    return
                self._probes -= 1
            if room < packet_bytes:
                room = core.congestion_window - core.bytes_in_flight
            is_full = room < packet_bytes
            try:
                transmit = core.poll_transmit(now)
            except Exception as error:
                raise SpoiltPacketError(repr(error)) from error
            if transmit is not None:
                packets.append(transmit[0])
                room -= len(transmit[0])
                self._owes_ack, self._stuck_until = False, None
                # With a full window a packet leaves only if no frame waits, and the core builds no more of them.
                self._may_frames_wait = self._has_repeats and (self._is_probing or not is_full)
                continue
            self._is_probing = False
            if is_full:
                if not self._is_ack_stuck(core, now):
                    return
            else:
                if not _may_be_paced(core, now):
                    self._has_repeats = self._may_frames_wait = False
                return

    def _is_ack_stuck(self, core: Any, now: float) -> bool:
        """Whether an ACK has been behind frames that wait for too long; if so, two packets may leave.

        If the peer's ACKs are stuck too, neither window opens again.
        """
        if not self._owes_ack:
            return False
        if self._stuck_until is None:
            self._stuck_until = now + QUIC_STUCK_ACK_S
        timer = core.get_timer()
        if now < self._stuck_until or timer is None or timer[0] != "loss_detection":
            return False
        self._stuck_until = None
        self._time_out(core, max(now, timer[1]))
        return True

    def _time_out(self, core: Any, now: float) -> None:
        """Let the core act on its timers; after a probe timeout it may send two packets whatever is in flight."""
        timeouts = core.pto_total
        core.handle_timer(now)
        if core.pto_total != timeouts:
            self._is_probing = self._has_repeats = True


def _is_ack_due(core: Any, now: float) -> bool:
    timer = core.get_timer()
    return timer is not None and timer[0].startswith("ack") and timer[1] <= now


def _may_be_paced(core: Any, now: float) -> bool:
    """Whether the core may have said no without looking at what there is: its pacer asks for less than a round trip."""
    timer = core.get_timer()
    return timer is not None and timer[1] < now + (core.smoothed_rtt or 0.1)
