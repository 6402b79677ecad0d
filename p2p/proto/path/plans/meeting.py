"""Both sides' part where both NATs give ports one after the other."""

from __future__ import annotations

from p2p.address import TransportAddress
from p2p.defaults import (
    GUESS_ASK_S,
    GUESS_BUDGET_WAIT_S,
    GUESS_MEETING_AIM,
    GUESS_MEETING_REPEAT_S,
    GUESS_MEETING_REPEATS,
    GUESS_MEETING_SOCKETS,
    GUESS_ROUND_S,
    GUESS_ROUNDS,
)
from p2p.proto.path.plans.commands import TellPeer
from p2p.proto.path.plans.hint import HintKind, PortHint
from p2p.proto.path.plans.plan import Plan, PlanSetting
from p2p.proto.path.plans.predict import next_ports


class MeetingPlan(Plan):
    """Each side tells which ports its next packets will leave from; then both send a row of packets at once.

    Say the aiming side was last given port A and the sweeping side port B. The aiming side sends all its packets, each
    from a socket of its own, to one port, B + c; the sweeping side sends its first to A + 1, its second to A + 2
    and so on, also from a socket each. When others took d ports of the first NAT and e of the second since, the
    sweeping packet m = c - e leaves from the port that was aimed at, and goes to A + m, where the aiming side's packet
    number m - d left from. So any d and e meet as long as their sum is below c: nobody needs to know them.

    Rounds are numbered; a side that hears of a later one joins it.

    Args:
        setting: What to work with; the controlling side aims.
    """

    def __init__(self, setting: PlanSetting) -> None:
        super().__init__(setting)
        self._round = 0
        self._hint: PortHint | None = None
        self._ends_at = 0.0
        self._has_told = False
        self._rows_left = 0
        self._row_at = 0.0
        self._targets: tuple[TransportAddress, ...] = ()

    def start(self, now: float) -> None:
        """Begin, once."""
        self._start_round(1, now)

    def receive_hint(self, hint: PortHint, now: float) -> None:
        """Learn where the peer's next packets will leave from."""
        if self.is_over or self._committed_until is not None or hint.kind is not HintKind.NEXT:
            return
        if hint.round < self._round or hint.round > GUESS_ROUNDS or (self._targets and hint.round == self._round):
            return
        self._hint = hint
        if hint.round > self._round:
            self._start_round(hint.round, now)
        self._meet(now)

    def _start_round(self, number: int, now: float) -> None:
        self._close_sockets()
        self._round = number
        self._targets = ()
        self._rows_left = 0
        self._has_told = False
        self._forget_questions()
        sockets = self._open(GUESS_MEETING_SOCKETS)
        self._ask(sockets[0], now)
        # Room for the peer, which may have started later, to be heard.
        self._ends_at = now + GUESS_ASK_S + GUESS_ROUND_S + 4 * self._setting.rtt_s

    def _answered(self, now: float) -> None:
        seen = self._questions.answers.get(self._sockets[0])
        if seen is None or self._has_told:
            return
        self._has_told = True
        ports = next_ports(seen.port, GUESS_MEETING_SOCKETS, self._setting.step or 1)
        if ports:
            self._commands.append(TellPeer(PortHint(HintKind.NEXT, self._round, seen.host, ports)))
        self._meet(now)

    def _meet(self, now: float) -> None:
        """Send the row, once both sides have told their ports."""
        hint = self._hint
        if not self._has_told or hint is None or hint.round != self._round or self._targets:
            return
        ports = hint.ports
        if self._setting.controlling:
            ports = (ports[min(GUESS_MEETING_AIM, len(ports) - 1)],) * len(self._sockets)
        self._targets = tuple(TransportAddress(hint.host, port) for port in ports)
        self._rows_left = 1 + GUESS_MEETING_REPEATS
        self._send_row(now)

    def _send_row(self, now: float) -> None:
        if not self._setting.limits.packets.take(now, len(self._sockets)):
            self._row_at = now + GUESS_BUDGET_WAIT_S
            self._ends_at = self._row_at + GUESS_ROUND_S
            return
        if self._rows_left > GUESS_MEETING_REPEATS:
            self._ends_at = now + GUESS_ROUND_S + 3 * self._setting.rtt_s
        self._rows_left -= 1
        self._row_at = now + GUESS_MEETING_REPEAT_S
        for socket, target in zip(self._sockets, self._targets, strict=False):
            self._check(socket, target)

    def _next_at(self) -> float:
        return min(self._row_at, self._ends_at) if self._rows_left else self._ends_at

    def _advance(self, now: float) -> None:
        if self._rows_left and now >= self._row_at:
            self._send_row(now)
        if now >= self._ends_at:
            self._fail(now)

    def _fail(self, now: float) -> None:
        if self._round < GUESS_ROUNDS:
            self._start_round(self._round + 1, now)
        else:
            self.end()
