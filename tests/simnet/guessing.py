"""Peers that guess ports when plain checks do not get through, in the simulated network."""

from __future__ import annotations

from p2p.address import TransportAddress
from p2p.proto.ice import Candidate, CandidateType
from p2p.proto.path.plans import (
    MAIN_SOCKET,
    AskServer,
    CloseSocket,
    Command,
    GuessLimits,
    OpenSocket,
    PortGuesser,
    PortHint,
    SendCheck,
    Situation,
    TellPeer,
)
from p2p.proto.stun.attributes import XOR_MAPPED_ADDRESS
from p2p.proto.stun.message import decode_untrusted, encode, is_stun
from tests.simnet.peer import ALLOCATION, SOCKET, Peer
from tests.simnet.scene import Scene
from tests.simnet.world import Packet, World

STUN_SERVER = TransportAddress("203.0.113.30", 3478)
FIRST_PORT = 6000


class StunServer:
    """Answers Binding requests."""

    def __init__(self, world: World) -> None:
        self.silent = False
        self._world = world
        world.attach(STUN_SERVER.host, self)

    def receive(self, packet: Packet) -> None:
        if self.silent or not is_stun(packet.data):
            return
        answer = decode_untrusted(packet.data).success_response(XOR_MAPPED_ADDRESS(packet.source))
        self._world.send(Packet(STUN_SERVER, packet.source, encode(answer)))


class GuessingPeer(Peer):
    """A peer with a guesser and as many sockets as that wants."""

    def __init__(self, *args, limits: GuessLimits | None = None, **options) -> None:
        super().__init__(*args, **options)
        self.guesser = PortGuesser(
            random_bytes=self.world.random.randbytes,
            controlling=options["controlling"],
            limits=limits or GuessLimits(),
        )
        self.port_range: tuple[int, int] | None = None
        self.guesses_at: list[float] = []
        self.most_sockets = 0
        self.sockets: dict[int, TransportAddress] = {}
        self._guess_timer = 0
        self._is_held = False

    def pump(self) -> None:
        super().pump()
        if not hasattr(self, "guesser") or self.controller.agent.remote_credentials is None:
            return
        peer = next(
            (c for c in self.controller.agent.remote_candidates if c.type is CandidateType.SERVER_REFLEXIVE), None
        )
        keys = (pair.key for pair in self.controller.agent.check_list)
        situation = Situation(
            local=self.facts,
            remote=self._remote_facts,
            server=STUN_SERVER,
            peer=None if peer is None else peer.address,
            rtt_s=0.08,
            has_direct_path=self.controller.has_direct_path,
            own=self._mapped,
            port_range=self.port_range,
            met=tuple((base_id - 100, remote) for base_id, remote in keys if base_id - 100 in self.sockets),
        )
        self.guesser.update(situation, self.world.now)
        self._drive()

    def _drive(self) -> None:
        while commands := self.guesser.take_commands():
            for command in commands:
                self._do(command)
        if self.guesser.is_pending is not self._is_held:
            self._is_held = not self._is_held
            self.controller.set_guessing(self.world.now, running=self._is_held)
            super().pump()
        self._guess_timer += 1
        timer, this = self.guesser.get_timer(), self._guess_timer
        if timer is not None:
            self.world.at(timer, lambda: self._guess_fire(this))

    def _guess_fire(self, timer: int) -> None:
        if timer == self._guess_timer:
            self.guesser.handle_timer(self.world.now)
            self._drive()

    def _do(self, command: Command) -> None:
        match command:
            case OpenSocket(socket):
                base_id = 100 + socket
                self.sockets[socket] = self.host.bind(
                    self.host.free_port(FIRST_PORT), lambda packet, socket=socket: self._on_extra(socket, packet)
                )
                self.most_sockets = max(self.most_sockets, len(self.sockets))
                self.controller.agent.add_base(Candidate.local(CandidateType.HOST, self.sockets[socket], base_id))
            case CloseSocket(socket):
                self.host.unbind(self.sockets.pop(socket).port)
                self.controller.remove_base(100 + socket, self.world.now)
            case SendCheck(socket, destination):
                base_id = SOCKET if socket == MAIN_SOCKET else 100 + socket
                self.guesses_at.append(self.world.now)
                self.send_to(base_id, destination, self.controller.agent.probe(base_id, self.world.now))
            case AskServer(socket, server, data):
                self.send_to(100 + socket, server, data)
            case TellPeer(hint):
                value = hint.to_wire()
                self._signal(lambda other: other.hinted(value))

    def hinted(self, value: object) -> None:
        """Take the other side's hint."""
        self.guesser.receive_hint(PortHint.from_wire_untrusted(value), self.world.now)
        self._drive()

    def _on_extra(self, socket: int, packet: Packet) -> None:
        if socket not in self.sockets:
            return
        now = self.world.now
        message = decode_untrusted(packet.data) if is_stun(packet.data) else None
        if message is not None and self.guesser.receive_answer(message, socket, now):
            self._drive()
            return
        self._received(packet.data, packet.source, 100 + socket)

    def send_to(self, base_id: int, destination: TransportAddress, data: bytes) -> None:
        if base_id in (SOCKET, ALLOCATION):
            super().send_to(base_id, destination, data)
        elif base_id - 100 in self.sockets:
            self.host.send(self.sockets[base_id - 100].port, destination, data)


class GuessingScene(Scene):
    """Two peers that guess; see ``Scene``."""

    peer_type = GuessingPeer

    def __init__(self, *args, **options) -> None:
        super().__init__(*args, **options)
        self.stun = StunServer(self.world)
