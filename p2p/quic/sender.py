"""Moving packets from an engine to a link, without starving the loop and without losing what a full link refuses."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from p2p.defaults import QUIC_KEY_UPDATE_PACKETS, QUIC_POLL_PACKETS, QUIC_POLL_ROUNDS
from p2p.quic.datagrams import DatagramQueue
from p2p.quic.engine import EngineConnection
from p2p.quic.handler import DatagramLink


class PacketSender:
    """The sending half of a connection's shell.

    Args:
        engine: Makes the packets.
        link: Carries them.
        ask_for_more: Called when the engine has nothing more to send; returns whether it was given something.
        on_unblocked: Called when a full link takes packets again.
    """

    def __init__(
        self,
        engine: EngineConnection,
        link: DatagramLink,
        *,
        ask_for_more: Callable[[], bool],
        on_unblocked: Callable[[], object],
    ) -> None:
        self.datagrams = DatagramQueue()
        self.is_blocked = False
        self.packets_sent = 0
        self._engine = engine
        self._link = link
        self._ask_for_more = ask_for_more
        self._on_unblocked = on_unblocked
        self._backlog: Sequence[bytes] = ()
        self._loss_mark = engine.loss_mark
        self._key_update_at = QUIC_KEY_UPDATE_PACKETS

    def run(self, now: float) -> bool:
        """Send until the engine, the link or the application has no more, or others deserve a turn.

        Returns:
            Whether to go on after the loop's other callbacks: ACKs wait in the socket, and without a turn for them
            the congestion window never opens.
        """
        if self.is_blocked or (self._backlog and not self._send(self._backlog)):
            return False
        engine = self._engine
        loss_mark = engine.loss_mark
        if loss_mark != self._loss_mark:
            self._loss_mark = loss_mark
            self._link.packets_lost()
        for _ in range(QUIC_POLL_ROUNDS):
            if self.datagrams:
                self.datagrams.release(engine, now)
            packets = engine.poll(now, QUIC_POLL_PACKETS)
            if packets:
                self._count(len(packets))
                if not self._send(packets):
                    return False
            if len(packets) < QUIC_POLL_PACKETS and (engine.wants_idle(now) or not self._ask_for_more()):
                return False
        return True

    def flush(self, now: float) -> Sequence[bytes]:
        """Give the link what the engine has at once, for the last time; what a full link refuses is lost.

        Returns:
            The packets, for whoever must repeat them.
        """
        packets = [*self._backlog, *self._engine.poll(now, QUIC_POLL_PACKETS)]
        self._backlog = ()
        self._link.send(packets)
        return packets

    def stop(self) -> None:
        """Forget what waits: the connection is over."""
        self.datagrams.clear()
        self._backlog = ()

    def _send(self, packets: Sequence[bytes]) -> bool:
        """Give packets to the link; False when it is full and the rest waits for it."""
        taken = self._link.send(packets)
        self._backlog = packets[taken:]
        if not self._backlog:
            return True
        self.is_blocked = True
        self._link.call_when_writable(self._unblocked)
        return False

    def _unblocked(self) -> None:
        self.is_blocked = False
        self._on_unblocked()

    def _count(self, packets: int) -> None:
        self.packets_sent += packets
        if self.packets_sent >= self._key_update_at:
            self._key_update_at = self.packets_sent + QUIC_KEY_UPDATE_PACKETS
            self._engine.request_key_update()


class Farewell:
    """A close frame that is repeated to a peer that has not heard it: for the 1st, 2nd, 4th, 8th ... packet it sends.

    Source: RFC 9000 section 10.2.1.

    Args:
        link: Carries the packets.
        packets: Those with the close frame; they were sent once.
    """

    def __init__(self, link: DatagramLink, packets: Sequence[bytes]) -> None:
        self._link = link
        self._packets = packets
        self._heard = 0

    def repeat(self) -> None:
        """Answer a packet of the peer."""
        self._heard += 1
        if self._heard & (self._heard - 1) == 0:
            self._link.send(self._packets)
