"""The usual cast: two peers, each behind a NAT of its own, a reflector and a relay."""

from __future__ import annotations

from typing import Any

from tests.simnet.facts import facts_of
from tests.simnet.nat import Host, Nat, NatBehaviour
from tests.simnet.peer import Peer, join
from tests.simnet.servers import Reflector, Relay
from tests.simnet.world import Weather, World

DIALER_PUBLIC = "192.0.2.1"
EXPOSER_PUBLIC = "198.51.100.1"


class Scene:
    """Two peers that start to connect at time 0.

    Args:
        dialer: The NAT in front of the dialer, None for a public address.
        exposer: The same for the exposer.
        weather: What the internet does.
        seed: Of all randomness.
        same_nat: Whether the exposer is behind the dialer's NAT.
        peer: What both peers get besides.
    """

    peer_type: type[Peer] = Peer

    def __init__(
        self,
        dialer: NatBehaviour | None,
        exposer: NatBehaviour | None,
        *,
        weather: Weather | None = None,
        seed: int = 1,
        same_nat: bool = False,
        **peer: Any,
    ) -> None:
        self.world = World(seed, weather)
        self.reflector = Reflector(self.world, "203.0.113.10")
        self.relay = Relay(self.world, "203.0.113.20")
        self.nats: list[Nat | None] = []
        self.dialer = self._peer(dialer, DIALER_PUBLIC, "10.0.0.2", controlling=True, **peer)
        shared = self.nats[0] if same_nat else None
        self.exposer = self._peer(exposer, EXPOSER_PUBLIC, "10.1.0.2", shared, controlling=False, **peer)
        self.peers = (self.dialer, self.exposer)
        join(self.dialer, self.exposer)

    def _peer(
        self, behaviour: NatBehaviour | None, public: str, private: str, shared: Nat | None = None, **peer: Any
    ) -> Peer:
        nat = shared
        if nat is None and behaviour is not None:
            nat = Nat(self.world, public, behaviour)
        self.nats.append(nat)
        host = Host(self.world, public if nat is None else private, nat)
        peer.setdefault("facts", facts_of(behaviour))
        return self.peer_type(self.world, host, self.reflector, self.relay, **peer)

    def both_direct(self) -> bool:
        """Whether both send on a validated direct path now."""
        paths = [peer.controller.selected_path for peer in self.peers]
        return all(path is not None and path.is_direct and path.validated for path in paths)

    def both_relayed(self) -> bool:
        """Whether both send on a validated relay path now."""
        paths = [peer.controller.selected_path for peer in self.peers]
        return all(path is not None and not path.is_direct and path.validated for path in paths)

    def both_connected(self) -> bool:
        """Whether both send on a validated path of any kind now."""
        return all(peer.controller.selected_path.validated for peer in self.peers)

    def cut_direct(self) -> None:
        """Let nothing pass any more between the two public addresses."""
        self.world.weather.cut.add(self._public_hosts())

    def narrow_direct(self) -> None:
        """Let only small packets pass between the two public addresses."""
        self.world.weather.narrow.add(self._public_hosts())

    def mend(self) -> None:
        """Let everything pass again."""
        self.world.weather.cut.clear()
        self.world.weather.narrow.clear()

    def _public_hosts(self) -> frozenset[str]:
        return frozenset(
            nat.host if nat is not None else peer.host.host for nat, peer in zip(self.nats, self.peers, strict=True)
        )

    def both_exhausted(self) -> bool:
        """Whether both know that there will be no direct path."""
        return all(peer.diary.exhausted for peer in self.peers)
