"""The hard side's part where its NAT gives ports one after the other."""

from __future__ import annotations

from p2p.defaults import GUESS_ASK_S, GUESS_BUDGET_WAIT_S, GUESS_ROUND_S, GUESS_ROUNDS, GUESS_WINDOW_SOCKETS
from p2p.proto.path.plans.commands import TellPeer
from p2p.proto.path.plans.hint import HintKind, PortHint
from p2p.proto.path.plans.plan import Plan, PlanSetting
from p2p.proto.path.plans.predict import is_in_a_row, window


class WindowPlan(Plan):
    """Opens a few doors in a row, between two questions to a STUN server, and tells the peer what lies between.

        socket 0 -> STUN server        gets port a
        sockets 0..7 -> peer           get ports between a and b, whatever others do meanwhile
        socket 7 -> STUN server        gets port b
        tell the peer the ports between a and b

    Nothing is predicted over more than the instant in which these leave, so that neither mappings that others make
    between measurement and use nor a slow signal spoil it, and the step and its sign need not be known.

    Args:
        setting: What to work with.
        is_sequential: Whether the NAT is known to give ports in a row; if not, ports far apart end the plan.

    Attributes:
        is_scattered: Whether the ports turned out not to be given in a row.
    """

    def __init__(self, setting: PlanSetting, *, is_sequential: bool) -> None:
        super().__init__(setting)
        self.is_scattered = False
        self._is_sequential = is_sequential
        self._round = 0
        self._has_told = False
        self._start_at: float | None = None
        self._tell_at = self._ends_at = 0.0

    def start(self, now: float) -> None:
        """Begin, once."""
        self._start_round(now)

    def _start_round(self, now: float) -> None:
        if not self._setting.limits.packets.take(now, GUESS_WINDOW_SOCKETS + 2):
            self._start_at = now + GUESS_BUDGET_WAIT_S
            return
        self._start_at = None
        self._round += 1
        self._has_told = False
        self._forget_questions()
        sockets = self._open(GUESS_WINDOW_SOCKETS)
        self._ask(sockets[0], now)
        for socket in sockets:
            self._check(socket, self._setting.peer)
        self._ask(sockets[-1], now)
        self._tell_at = now + GUESS_ASK_S + self._setting.rtt_s
        self._ends_at = self._tell_at + GUESS_ROUND_S + 3 * self._setting.rtt_s

    def _answered(self, now: float) -> None:
        if self._questions.is_answered:
            self._tell(now)

    def _tell(self, now: float) -> None:
        if self._has_told:
            return
        self._has_told = True
        before, after = (self._questions.answers.get(socket) for socket in (self._sockets[0], self._sockets[-1]))
        seen = before or after
        if seen is None:
            return
        first, last = (None if address is None else address.port for address in (before, after))
        if first is not None and last is not None and not is_in_a_row(first, last) and not self._is_sequential:
            self.is_scattered = True
            self.end()
            return
        ports = window(first, last, GUESS_WINDOW_SOCKETS, self._setting.step)
        if ports:
            self._commands.append(TellPeer(PortHint(HintKind.WINDOW, self._round, seen.host, ports)))
        self._ends_at = now + GUESS_ROUND_S + 3 * self._setting.rtt_s

    def _next_at(self) -> float:
        if self._start_at is not None:
            return self._start_at
        return self._ends_at if self._has_told else self._tell_at

    def _advance(self, now: float) -> None:
        if self._start_at is not None:
            if now >= self._start_at:
                self._start_round(now)
            return
        if not self._has_told and now >= self._tell_at:
            self._tell(now)
        if not self.is_over and now >= self._ends_at:
            self._close_sockets()
            self._fail(now)

    def _fail(self, now: float) -> None:
        if self._round < GUESS_ROUNDS:
            self._start_round(now)
        else:
            self.end()
