"""A network inside one process: a clock that jumps from event to event, hosts, and the internet between them."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from p2p.address import TransportAddress

Action = Callable[[], None]

NARROW_BYTES = 1000
"""More than any check without padding, less than a full packet of data."""


class Packet(NamedTuple):
    """A UDP datagram."""

    source: TransportAddress
    destination: TransportAddress
    data: bytes


class Node(Protocol):
    """Whatever owns a public IP address."""

    def receive(self, packet: Packet) -> None: ...


@dataclass
class Weather:
    """What the internet does to packets; may be changed while the world runs.

    Attributes:
        delay_s: One way, between two public addresses.
        jitter_s: Added at random; packets overtake each other when it is longer than their distance.
        loss: Share of packets lost.
        cut: Pairs of public IP addresses between which nothing passes, either way.
        narrow: Pairs of public IP addresses between which only packets of up to ``NARROW_BYTES`` pass.
    """

    delay_s: float = 0.02
    jitter_s: float = 0.0
    loss: float = 0.0
    cut: set[frozenset[str]] = field(default_factory=set)
    narrow: set[frozenset[str]] = field(default_factory=set)


class World:
    """The clock, the internet, and a source of randomness that is the same in each run.

    Args:
        seed: Of all randomness.
        weather: What happens to packets.
    """

    def __init__(self, seed: int = 1, weather: Weather | None = None) -> None:
        self.now = 0.0
        self.random = random.Random(seed)
        self.weather = weather or Weather()
        self.packets = self.full_packets = 0
        self._nodes: dict[str, Node] = {}
        self._agenda: list[tuple[float, int, Action]] = []
        self._count = 0

    def attach(self, host: str, node: Node) -> None:
        """Give a public IP address to a node."""
        self._nodes[host] = node

    def at(self, when: float, action: Action) -> None:
        """Do something at an instant, or now when it has passed."""
        self._count += 1
        heapq.heappush(self._agenda, (max(when, self.now), self._count, action))

    def after(self, delay_s: float, action: Action) -> None:
        """Do something after a while."""
        self.at(self.now + delay_s, action)

    def send(self, packet: Packet) -> None:
        """Carry a packet between public addresses, as the weather allows."""
        weather = self.weather
        self.packets += 1
        self.full_packets += len(packet.data) > NARROW_BYTES
        between = frozenset((packet.source.host, packet.destination.host))
        if between in weather.cut or (between in weather.narrow and len(packet.data) > NARROW_BYTES):
            return
        if weather.loss and self.random.random() < weather.loss:
            return
        node = self._nodes.get(packet.destination.host)
        if node is not None:
            delay_s = weather.delay_s + (self.random.random() * weather.jitter_s if weather.jitter_s else 0.0)
            self.after(delay_s, lambda: node.receive(packet))

    def run_until(self, end: float, *, unless: Callable[[], bool] | None = None) -> None:
        """Let time pass.

        Args:
            end: The instant to stop at.
            unless: Stop at once when this becomes true.
        """
        while self._agenda and self._agenda[0][0] <= end:
            if unless is not None and unless():
                return
            when, _, action = heapq.heappop(self._agenda)
            self.now = when
            action()
        self.now = max(self.now, end)

    def run_for(self, duration_s: float, *, unless: Callable[[], bool] | None = None) -> None:
        """Let time pass; see ``run_until``."""
        self.run_until(self.now + duration_s, unless=unless)
