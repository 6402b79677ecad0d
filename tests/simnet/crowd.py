"""Many sessions at once between two hosts: one program on each side, with one socket for all of them."""

from __future__ import annotations

from collections.abc import Callable

from p2p.proto.ice.messages import receiver_fragment
from p2p.proto.path.plans import GuessLimits
from p2p.proto.stun.message import MessageClass, decode_untrusted, is_stun
from tests.simnet.facts import facts_of
from tests.simnet.guessing import GuessingPeer, StunServer
from tests.simnet.nat import Host, Nat, NatBehaviour
from tests.simnet.peer import PORT, join
from tests.simnet.scene import DIALER_PUBLIC, EXPOSER_PUBLIC
from tests.simnet.servers import Reflector, Relay
from tests.simnet.world import Packet, Weather, World


class SharedHost(Host):
    """A host whose main port is that of all its peers: requests go by their user name, everything else to all."""

    def __init__(self, world: World, host: str, nat: Nat) -> None:
        super().__init__(world, host, nat)
        self.peers: dict[str, GuessingPeer] = {}
        self._receivers: list[Callable[[Packet], None]] = []
        self.most_extra_ports = 0

    def bind(self, port: int, receiver: Callable[[Packet], None]):
        if port != PORT:
            bound = super().bind(port, receiver)
            self.most_extra_ports = max(self.most_extra_ports, self.open_ports - 1)
            return bound
        self._receivers.append(receiver)
        return super().bind(port, self._dispatch)

    def _dispatch(self, packet: Packet) -> None:
        message = decode_untrusted(packet.data) if is_stun(packet.data) else None
        if message is not None and message.message_class is MessageClass.REQUEST:
            peer = self.peers.get(receiver_fragment(message))
            if peer is not None:
                peer._from_socket(packet)
            return
        for receiver in self._receivers:
            receiver(packet)


class CrowdScene:
    """``count`` dialers on one host, each to a session of its own with one exposing program.

    Args:
        dialer: The NAT in front of the dialers.
        exposer: The NAT in front of the exposer.
        count: How many sessions.
        weather: What the internet does.
        seed: Of all randomness.
    """

    def __init__(
        self, dialer: NatBehaviour, exposer: NatBehaviour, *, count: int, weather: Weather | None = None, seed: int = 1
    ) -> None:
        self.world = World(seed, weather)
        reflector, relay = Reflector(self.world, "203.0.113.10"), Relay(self.world, "203.0.113.20")
        self.stun = StunServer(self.world)
        self.hosts = [
            SharedHost(self.world, private, Nat(self.world, public, behaviour))
            for private, public, behaviour in (
                ("10.0.0.2", DIALER_PUBLIC, dialer),
                ("10.1.0.2", EXPOSER_PUBLIC, exposer),
            )
        ]
        self.limits = [GuessLimits(), GuessLimits()]
        self.pairs = []
        for _ in range(count):
            pair = [
                GuessingPeer(
                    self.world,
                    host,
                    reflector,
                    relay,
                    facts=facts_of(behaviour),
                    controlling=side == 0,
                    limits=self.limits[side],
                )
                for side, (host, behaviour) in enumerate(zip(self.hosts, (dialer, exposer), strict=True))
            ]
            for peer, host in zip(pair, self.hosts, strict=True):
                host.peers[peer.controller.agent.local_credentials.ufrag] = peer
            self.pairs.append(pair)
        self.direct_at: dict[int, float] = {}
        for pair in self.pairs:
            join(*pair)

    def run(self, until: float) -> None:
        """Let time pass until every session is direct, and note when each was."""
        while len(self.direct_at) < len(self.pairs) and self.world.now < until:
            self.world.run_for(0.05)
            for number, pair in enumerate(self.pairs):
                if number not in self.direct_at and all(peer.controller.has_direct_path for peer in pair):
                    self.direct_at[number] = self.world.now

    def guesses_at(self, side: int) -> list[float]:
        """When the program of a side sent its guesses."""
        return sorted(at for pair in self.pairs for at in pair[side].guesses_at)
