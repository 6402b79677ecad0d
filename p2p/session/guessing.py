"""A session's guesses at ports: does what ``PortGuesser`` wants with real sockets and signals."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
from collections.abc import Callable, Iterable
from typing import Final

from p2p.address import TransportAddress
from p2p.defaults import GUESS_PROBE_RENEWAL_S
from p2p.errors import ConnectivityError, DecodeError, LocalProtocolError
from p2p.path.link import PathLink
from p2p.proto.ice import Candidate, CandidateType
from p2p.proto.path.controller import PathController
from p2p.proto.path.plans import (
    MAIN_SOCKET,
    AskServer,
    CloseSocket,
    Command,
    OpenSocket,
    PortGuesser,
    PortHint,
    SendCheck,
    Situation,
    TellPeer,
)
from p2p.proto.path.reason import NatFacts
from p2p.proto.stun.message import Message
from p2p.session.node import Node
from p2p.session.plausible import is_plausible

logger = logging.getLogger(__name__)

_PRIVATE: Final = tuple(
    ipaddress.IPv4Network(network)
    for network in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "127.0.0.0/8")
)
"""Addresses that nobody outside reaches. Source: RFC 6890."""


class Guessing:
    """The extra sockets of one session, and the plan that uses them.

    Sockets are closed when the plan says so, the one that won with the session.

    Concurrency: one event loop; one timer of the loop, gone after ``close``.

    Args:
        loop: The event loop.
        node: Has the endpoint and the STUN servers.
        controller: Has the addresses of both sides, and makes the checks.
        link: Driven after each change.
        facts: Tells what is known of our network and of the peer's.
        tell: Sends a hint to the peer.
        controlling: Whether we dial.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        node: Node,
        controller: PathController,
        link: PathLink,
        *,
        facts: Callable[[], tuple[NatFacts, NatFacts]],
        tell: Callable[[PortHint], None],
        controlling: bool,
    ) -> None:
        self._loop = loop
        self._node = node
        self._controller = controller
        self._link = link
        self._facts = facts
        self._tell = tell
        self._guesser = PortGuesser(random_bytes=os.urandom, controlling=controlling, limits=node.guess_limits)
        self._base_ids: dict[int, int] = {}
        self._sockets: dict[int, int] = {}
        self._probe: tuple[float, int, bytes] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._sent = 0
        self._is_held = self._is_closed = self._is_pumping = False

    # --- what happens --------------------------------------------------------------------------------------
    def update(self) -> None:
        """Look at everything again: facts, addresses or paths may have changed."""
        if self._is_closed or self._controller.agent.remote_credentials is None:
            return
        local, remote = self._facts()
        path = self._controller.selected_path
        peer = mapped_address(self._controller.agent.remote_candidates)
        own = mapped_address(self._controller.agent.local_candidates)
        situation = Situation(
            local=local,
            remote=remote,
            server=next((server for server in self._node.stun_servers if not server.is_ipv6), None),
            peer=None if peer is None else peer.address,
            rtt_s=None if path is None else self._controller.rtt_s(path),
            has_direct_path=self._controller.has_direct_path,
            own=None if own is None else own.address,
            port_range=self._node.port_range,
            met=self._met(),
        )
        self._guesser.update(situation, self._loop.time())
        self._pump()

    def hint_received(self, value: object) -> None:
        """Take what the peer says of its ports; nonsense is ignored."""
        try:
            hint = PortHint.from_wire_untrusted(value)
        except DecodeError as error:
            logger.info("hint dropped: %s", error)
            return
        if not is_usable(hint, self._controller.agent.remote_candidates, self._node.hosts):
            logger.info("hint dropped: %s is no address of the peer's", hint.host)
        elif not self._is_closed:
            self._guesser.receive_hint(hint, self._loop.time())
            self._pump()

    def stun_received(self, message: Message, base_id: int, source: TransportAddress, now: float) -> bool:
        """Take a STUN message that arrived on one of the extra sockets.

        Returns:
            Whether it was expected.
        """
        socket = self._sockets[base_id]
        if self._guesser.receive_answer(message, socket, now):
            self._pump()
            return True
        taken = self._link.stun_received(message, base_id, source, now)
        self.update()
        return taken

    def close(self) -> None:
        """Close all sockets. A second call does nothing."""
        if self._is_closed:
            return
        self._guesser.close(self._loop.time())
        self._is_closed = True
        for socket in list(self._base_ids):
            self._close_socket(socket)
        self._cancel_timer()

    # --- driving the machine -------------------------------------------------------------------------------
    def _pump(self) -> None:
        if self._is_closed or self._is_pumping:
            return
        self._is_pumping = True
        try:
            is_busy = True
            while is_busy:
                commands = self._guesser.take_commands()
                for command in commands:
                    self._do(command)
                is_busy = self._hold() or bool(commands)
        finally:
            self._is_pumping = False
        self._arm()

    def _hold(self) -> bool:
        """Let the verdict wait while there is hope.

        Returns:
            Whether that has changed.
        """
        if self._guesser.is_pending is self._is_held:
            return False
        self._is_held = not self._is_held
        state = "is planned" if self._is_held else "is over"
        logger.info("guessing ports (%s): %s, %d guesses sent", self._guesser.kind, state, self._sent)
        self._controller.set_guessing(self._loop.time(), running=self._is_held)
        self._link.poke()
        return True

    def _do(self, command: Command) -> None:
        match command:
            case OpenSocket(socket):
                self._open_socket(socket)
            case CloseSocket(socket):
                self._close_socket(socket)
            case SendCheck(socket, destination):
                self._send_check(socket, destination)
            case AskServer(socket, server, data):
                if (base := self._node.endpoint.bases.get(self._base_ids.get(socket, 0))) is not None:
                    base.send((data,), server)
            case TellPeer(hint):
                self._tell(hint)

    def _open_socket(self, socket: int) -> None:
        host = next((host for host in self._node.hosts if ":" not in host), None)
        if host is None:
            return
        try:
            base = self._node.spare_sockets.open(self)
        except ConnectivityError as error:
            logger.warning("no socket to guess ports with: %s", error)
            return
        self._base_ids[socket] = base.base_id
        self._sockets[base.base_id] = socket
        address = TransportAddress(host, base.local_address.port)
        self._controller.agent.add_base(Candidate.local(CandidateType.HOST, address, base.base_id))

    def _close_socket(self, socket: int) -> None:
        base_id = self._base_ids.pop(socket, None)
        if base_id is None:
            return
        del self._sockets[base_id]
        self._controller.remove_base(base_id, self._loop.time())
        self._node.spare_sockets.close(base_id)

    def _send_check(self, socket: int, destination: TransportAddress) -> None:
        now = self._loop.time()
        base_id = self._main_base_id() if socket == MAIN_SOCKET else self._base_ids.get(socket)
        endpoint = self._node.endpoint
        base = None if base_id is None else endpoint.bases.get(base_id)
        if base is None or not endpoint.check_budget.take(now):
            return
        try:
            sent = base.send((self._make_probe(base.base_id, now),), destination)
        except LocalProtocolError as error:
            logger.info("no guess sent: %s", error)
            return
        self._sent += sent
        endpoint.stats.guesses += sent

    def _make_probe(self, base_id: int, now: float) -> bytes:
        """Write a check, or take the one that was just sent from the same socket."""
        if self._probe is None or self._probe[1] != base_id or now > self._probe[0] + GUESS_PROBE_RENEWAL_S:
            agent = self._controller.agent
            self._probe = now, base_id, agent.probe(base_id, now)
            self._node.endpoint.asked.note(self._probe[2], agent.local_credentials.ufrag)
        return self._probe[2]

    def _met(self) -> tuple[tuple[int, TransportAddress], ...]:
        """Find the extra sockets that the peer was met on: nothing but its checks makes a pair there."""
        if not self._sockets:
            return ()
        keys = (pair.key for pair in self._controller.agent.check_list)
        return tuple((self._sockets[base_id], remote) for base_id, remote in keys if base_id in self._sockets)

    def _main_base_id(self) -> int | None:
        own = mapped_address(self._controller.agent.local_candidates)
        return None if own is None else own.base_id

    def _arm(self) -> None:
        self._cancel_timer()
        at = None if self._is_closed else self._guesser.get_timer()
        if at is not None:
            self._timer = self._loop.call_at(at, self._fire)

    def _fire(self) -> None:
        self._timer = None
        self._guesser.handle_timer(self._loop.time())
        self._pump()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def is_usable(hint: PortHint, candidates: Iterable[Candidate], hosts: Iterable[str]) -> bool:
    """Tell whether a hint is worth guesses: at addresses that get checks anyway, or a peer could have others scanned.

    Args:
        hint: The peer's.
        candidates: The peer's, signalled or learned.
        hosts: Our IP addresses that peers may know.
    """
    is_named = any(candidate.address.host == hint.host for candidate in candidates if not candidate.via_relay)
    return is_named and is_plausible(TransportAddress(hint.host, hint.ports[0]), hosts)


def mapped_address(candidates: Iterable[Candidate]) -> Candidate | None:
    """Find the IPv4 address by which the outside knows a peer's socket: a mapped one, or a public one of its own.

    Args:
        candidates: Of one side, as they were signalled.
    """
    own = None
    for candidate in candidates:
        if candidate.address.is_ipv6:
            continue
        if candidate.type is CandidateType.SERVER_REFLEXIVE:
            return candidate
        if own is None and candidate.type is CandidateType.HOST and not _is_private(candidate.address):
            own = candidate
    return own


def _is_private(address: TransportAddress) -> bool:
    ip = ipaddress.IPv4Address(address.host)
    return any(ip in network for network in _PRIVATE)
