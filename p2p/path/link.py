"""What carries one peer's packets: whichever path the controller says, without QUIC noticing a change."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from p2p.address import TransportAddress
from p2p.aio.timer import LazyTimer
from p2p.defaults import HELD_PACKETS, QUIC_PACKET_BYTES, QUIC_PACKET_BYTES_MAX
from p2p.path.base import Base
from p2p.path.endpoint import Endpoint
from p2p.path.pieces import PieceCutter, size_on
from p2p.path.relay_base import RelayBase
from p2p.path.repeats import Repeats
from p2p.proto.ice import Transmit
from p2p.proto.ice.messages import is_check
from p2p.proto.path.controller import PathController
from p2p.proto.path.events import PathEvent, PathSelected, PathSized
from p2p.proto.path.path import Path
from p2p.proto.stun.message import Message

_AMPLIFICATION_MAX: Final = 3


@dataclass(slots=True)
class LinkStats:
    """Packets that could not be sent, or not whole."""

    dropped_without_path: int = 0
    packets_cut: int = 0
    """Packets that went in two pieces, on each path."""


class PathLink:
    """Drives a ``PathController`` and sends a session's packets over the paths it selects.

    Concurrency: one event loop, no task; two timers of the loop, gone after ``close``.

    Args:
        loop: The event loop.
        endpoint: Has the bases.
        controller: Decides.
        on_event: Told what the controller reports.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        endpoint: Endpoint,
        controller: PathController,
        *,
        on_event: Callable[[PathEvent], None],
    ) -> None:
        self.stats = LinkStats()
        self._loop = loop
        self._endpoint = endpoint
        self._controller = controller
        self._on_event = on_event
        self._fragment = controller.agent.local_credentials.ufrag
        self._timer = LazyTimer(loop, self._fire)
        self._repeats = Repeats(loop, self._send_over_paths)
        self._cutter = PieceCutter()
        self._sized_path: Path | None = None
        self._width = QUIC_PACKET_BYTES
        self._bound: set[tuple[RelayBase, TransportAddress]] = set()
        self._allowance_bytes: int | None = None
        self._held: list[bytes] | None = None
        self._is_poking = self._is_closed = False

    # --- for the QUIC connection ---------------------------------------------------------------------------

    def send(self, datagrams: Sequence[bytes]) -> int:
        """Send packets over the selected path, and over a second one while the first is in doubt.

        Returns:
            How many were taken; without any path all are, and lost, as on a network that is down.
        """
        if self._held is not None:
            self._held.extend(datagrams[: max(0, HELD_PACKETS - len(self._held))])
            return len(datagrams)
        if self._allowance_bytes is not None:
            return self._send_within(self._allowance_bytes, datagrams)
        taken = self._send_now(datagrams)
        if not self._repeats.are_over:
            self._repeats.put(datagrams[:taken])
        return taken

    def _send_on(self, base: Base, path: Path, packets: Sequence[bytes]) -> int:
        """Send packets over one path, in pieces unless it is known to carry them whole; returns how many were taken."""
        limit = self._width if path is self._sized_path else QUIC_PACKET_BYTES
        if limit >= QUIC_PACKET_BYTES_MAX or not packets or max(map(len, packets)) <= limit:
            return base.send(packets, path.remote)
        pieces, ends = self._cutter.cut(packets, limit)
        self.stats.packets_cut += len(pieces) - len(packets)
        # A packet of which one piece was taken goes again as a whole.
        return bisect_right(ends, base.send(pieces, path.remote))

    def _send_within(self, allowance_bytes: int, datagrams: Sequence[bytes]) -> int:
        """Send what the limit allows and lose the rest, as a network would; it is sent again when more has arrived."""
        within = 0
        while within < len(datagrams):
            # Nothing is proven yet, so that what is too long for that goes in pieces.
            size = size_on(datagrams[within], QUIC_PACKET_BYTES)
            if size > allowance_bytes:
                break
            allowance_bytes -= size
            within += 1
        self._allowance_bytes = allowance_bytes
        taken = self._send_now(datagrams[:within]) if within else 0
        return taken if taken < within else len(datagrams)

    def _send_now(self, datagrams: Sequence[bytes]) -> int:
        taken = self._send_over_paths(datagrams)
        if taken is None:
            self.stats.dropped_without_path += len(datagrams)
            return len(datagrams)
        if taken and self._controller.sent(self._loop.time()):
            self._arm()
        return taken

    def _send_over_paths(self, datagrams: Sequence[bytes]) -> int | None:
        """Send packets; how many the first path took, None when there is no path."""
        taken: int | None = None
        for path in self._controller.sending_paths:
            base = self._endpoint.bases.get(path.base_id)
            if base is None:
                continue
            if taken is None:
                taken = self._send_on(base, path, datagrams)
            else:
                self._send_on(base, path, datagrams[:taken])
        return taken

    def hold(self) -> None:
        """Keep the first packets from now on, until ``take_held`` or ``send_held``."""
        self._held = self._held or []

    def take_held(self) -> tuple[bytes, ...]:
        """Take what was kept, to bring it to the peer in another way, and keep no more."""
        held, self._held = self._held or [], None
        return tuple(held)

    def send_held(self) -> bool:
        """Send what was kept, and keep no more.

        Returns:
            Whether there was anything.
        """
        held = self.take_held()
        if held:
            self.send(held)
        return bool(held)

    def call_when_writable(self, callback: Callable[[], object]) -> None:
        """Call back once, as soon as the selected path takes packets again."""
        for path in self._controller.sending_paths:
            base = self._endpoint.bases.get(path.base_id)
            if base is not None:
                base.call_when_writable(callback)
                return
        self._loop.call_soon(callback)

    def packets_lost(self) -> None:
        """Note that packets were lost on the way: the selected path may have become narrow."""
        if self._controller.packets_lost(self._loop.time()):
            self._loop.call_soon(self.poke)

    # --- for the session -----------------------------------------------------------------------------------

    def stun_received(self, message: Message, base_id: int, source: TransportAddress, now: float) -> bool:
        """Offer a STUN message to the controller.

        Returns:
            Whether it belonged to this session.
        """
        if self._is_closed or not self._controller.receive_message(message, source, base_id, now):
            return False
        self.poke()
        return True

    def limit_until_proven(self) -> None:
        """Send three times as many bytes as arrive at most, until ``lift_limit``.

        For the side that answers: the first packets tell where to, and their source may be forged. The QUIC libraries
        have such a limit, but one of them counts in a way that stalls handshakes, and is run without.

        Source: RFC 9000 section 8.1.
        """
        self._allowance_bytes = 0

    def lift_limit(self) -> None:
        """The peer is where we send to: it has answered a check, or completed the handshake."""
        self._allowance_bytes = None

    def packets_received(self, size: int) -> None:
        """Note that so many bytes of this session's packets have arrived."""
        if self._allowance_bytes is not None:
            self._allowance_bytes += _AMPLIFICATION_MAX * size

    def poke(self) -> None:
        """Do what the controller wants done now, and set its timer again. Call it after every command."""
        if self._is_poking or self._is_closed:
            return
        self._is_poking = True
        try:
            now = self._loop.time()
            busy = True
            while busy and not self._is_closed:
                busy = False
                for transmit in self._controller.transmits(now):
                    base = self._endpoint.bases.get(transmit.base_id)
                    if base is not None and self._may_send(transmit, now):
                        base.send((transmit.data,), transmit.destination)
                while not self._is_closed and (event := self._controller.next_event()) is not None:
                    busy = True
                    self._notice(event)
                    self._on_event(event)
        finally:
            self._is_poking = False
            self._arm()

    def close(self) -> None:
        """Stop; nothing stays with the loop. A second call does nothing."""
        self._is_closed = True
        for relay, remote in self._bound:
            relay.forbid(remote)
        self._bound.clear()
        self._repeats.close()
        self._timer.cancel()

    def _may_send(self, transmit: Transmit, now: float) -> bool:
        """Answers may go, and checks on paths that have answered; all else costs budget."""
        stats = self._endpoint.stats
        if not is_check(transmit.data):
            return True
        self._endpoint.asked.note(transmit.data, self._fragment)
        if self._controller.is_validated(transmit.base_id, transmit.destination):
            stats.heartbeats += 1
            return True
        may_send = self._endpoint.check_budget.take(now)
        stats.checks += may_send
        return may_send

    def _notice(self, event: PathEvent) -> None:
        """Remember what the selected path carries, and give one over our own relay the short header."""
        if isinstance(event, PathSized):
            self._sized_path, self._width = event.path, event.packet_bytes
        elif isinstance(event, PathSelected):
            base = self._endpoint.bases.get(event.path.base_id)
            if isinstance(base, RelayBase):
                key = base, event.path.remote
                if key not in self._bound:
                    self._bound.add(key)
                    base.permit(event.path.remote)
                base.bind(event.path.remote)

    def _arm(self) -> None:
        self._timer.set(None if self._is_closed else self._controller.get_timer())

    def _fire(self, now: float) -> None:
        self._controller.handle_timer(now)
        self.poke()
