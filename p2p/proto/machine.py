"""The one shape of every protocol: a state machine that is told what happened and asked what to do.

A machine does no I/O and knows no clock: whoever drives it passes ``now``, a monotonic instant in seconds that
never decreases. It never raises because of what arrived from the network: that becomes an event, an answer or
a counted drop.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol, TypeVar

from p2p.address import TransportAddress

EventT_co = TypeVar("EventT_co", covariant=True)


class Datagram(NamedTuple):
    """Bytes on their way to an address."""

    data: bytes
    destination: TransportAddress


class DatagramMachine(Protocol[EventT_co]):
    """What the driver needs of a protocol that speaks datagrams.

    After any of the calls, the driver sends what ``datagrams_to_send`` returns, takes events until
    ``next_event`` returns None, and sets its timer to ``get_timer``.
    """

    def receive_datagram(self, data: bytes, source: TransportAddress, now: float) -> bool:
        """Take a datagram from the network.

        Returns:
            Whether the datagram belonged to this machine; if not, someone else may want it.
        """
        ...

    def datagrams_to_send(self, now: float) -> list[Datagram]:
        """Take what must be sent, in order."""
        ...

    def get_timer(self) -> float | None:
        """When ``handle_timer`` must be called next, or None."""
        ...

    def handle_timer(self, now: float) -> None:
        """Act on the timers that are due."""
        ...

    def next_event(self) -> EventT_co | None:
        """Take the oldest event, or None."""
        ...
