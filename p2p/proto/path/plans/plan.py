"""What all plans have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from p2p.address import TransportAddress
from p2p.defaults import GUESS_COMMIT_S
from p2p.proto.path.plans.commands import CloseSocket, Command, OpenSocket, SendCheck
from p2p.proto.path.plans.hint import PortHint
from p2p.proto.path.plans.limits import GuessLimits
from p2p.proto.path.plans.questions import Questions
from p2p.proto.stun.message import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanSetting:
    """What a plan has to work with.

    Attributes:
        random_bytes: Where randomness comes from.
        numbers: Gives the numbers of new sockets.
        server: A STUN server.
        peer: The peer's mapped address, good for sending to when its mapping depends on nothing.
        step: The step of our NAT as measured earlier; None when it is not known.
        rtt_s: The round-trip time of the path in use; a guess when there is none.
        controlling: Our role, where a plan has two that are else the same.
        limits: What all sessions of the program may spend together.
        own: Our own mapped address; None when it is not known.
        port_range: The lowest and the highest port that our NAT was seen to give at random; None when it is not known.
    """

    random_bytes: Callable[[int], bytes]
    numbers: Iterator[int]
    server: TransportAddress
    peer: TransportAddress
    step: int | None
    rtt_s: float
    controlling: bool
    limits: GuessLimits
    own: TransportAddress | None = None
    port_range: tuple[int, int] | None = None


class Plan(ABC):
    """A machine that sends checks where plain ones do not get through; one attempt, with rounds of its own.

    Driven by ``PortGuesser``: after any call ``take_commands`` is done in order, and ``handle_timer`` called when
    ``get_timer`` says. The first check or answer that arrives on one of its sockets from where that one sent to proves
    the way: then all others are closed, so that both sides end up on the same one, and ordinary checks have
    ``GUESS_COMMIT_S`` to validate it. What a NAT lets in from elsewhere proves nothing, for an answer may leave from
    yet another port.

    Args:
        setting: What to work with.

    Attributes:
        is_over: Whether it has done all it can.
        has_acted: Whether it sent anything: one that only waited for the peer may be begun anew as soon as that speaks.
        winner: The socket on which the peer was met.
    """

    def __init__(self, setting: PlanSetting) -> None:
        self.is_over = self.has_acted = False
        self.winner: int | None = None
        self._setting = setting
        self._questions = Questions(setting.server, setting.random_bytes)
        self._sockets: list[int] = []
        self._aims: dict[int, TransportAddress] = {}
        self._commands: list[Command] = []
        self._committed_until: float | None = None

    # --- for the guesser -----------------------------------------------------------------------------------
    @abstractmethod
    def start(self, now: float) -> None:
        """Begin, once."""

    def receive_hint(self, hint: PortHint, now: float) -> None:  # noqa: B027 -- optional
        """Take what the peer says of its ports; most plans need nothing."""

    def receive_answer(self, message: Message, socket: int, now: float) -> bool:
        """Take a message that may be a STUN server's answer.

        Returns:
            Whether it was.
        """
        taken = self._questions.receive(message, socket)
        if taken and not self.is_over and self._committed_until is None:
            self._answered(now)
        return taken

    def met(self, socket: int, remote: TransportAddress, now: float) -> None:
        """Note that a check of the peer's, or an answer, came in on one of our sockets; the first that fits counts."""
        if socket in self._sockets and self.winner is None and self._aims.get(socket) == remote:
            self.winner = socket
            self._committed_until = now + GUESS_COMMIT_S + self._setting.rtt_s
            self._close_sockets()

    def take_commands(self) -> list[Command]:
        """Take what must be done, in order."""
        commands, self._commands = self._commands, []
        return commands

    def get_timer(self) -> float | None:
        """When ``handle_timer`` must be called next, or None."""
        if self.is_over:
            return None
        if self._committed_until is not None:
            return self._committed_until
        timers = (self._questions.get_timer(), self._next_at())
        return min((timer for timer in timers if timer is not None), default=None)

    def handle_timer(self, now: float) -> None:
        """Do what is due."""
        if self.is_over:
            return
        if self._committed_until is not None:
            if now >= self._committed_until:
                self._committed_until = self.winner = None
                self._close_sockets()
                self._fail(now)
            return
        self._commands += self._questions.repeat(now)
        self._advance(now)

    def end(self) -> None:
        """Stop; the winner's socket stays open. A second call does nothing."""
        self.is_over = True
        self._close_sockets()

    # --- for each plan -------------------------------------------------------------------------------------
    @abstractmethod
    def _next_at(self) -> float | None:
        """When ``_advance`` is due."""

    @abstractmethod
    def _advance(self, now: float) -> None:
        """Do what is due."""

    def _answered(self, now: float) -> None:  # noqa: B027 -- optional
        """A STUN server answered."""

    def _fail(self, now: float) -> None:
        """The way on which the peer was met has not proved itself, and the sockets are closed."""
        self.end()

    def _open(self, count: int) -> list[int]:
        opened = [next(self._setting.numbers) for _ in range(count)]
        self._commands += [OpenSocket(socket) for socket in opened]
        self._sockets += opened
        return opened

    def _check(self, socket: int, destination: TransportAddress) -> None:
        self.has_acted = True
        self._aims[socket] = destination
        self._commands.append(SendCheck(socket, destination))

    def _ask(self, socket: int, now: float) -> None:
        self._commands.append(self._questions.ask(socket, now))

    def _forget_questions(self) -> None:
        self._questions = Questions(self._setting.server, self._setting.random_bytes)

    def _close(self, socket: int) -> None:
        self._sockets.remove(socket)
        self._commands.append(CloseSocket(socket))

    def _close_sockets(self) -> None:
        self._commands += [CloseSocket(socket) for socket in self._sockets if socket != self.winner]
        self._sockets = [] if self.winner is None else [self.winner]
