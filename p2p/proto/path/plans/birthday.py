"""The hard side's part where its NAT gives ports at random."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from p2p.address import TransportAddress
from p2p.defaults import (
    BIRTHDAY_CONTROL_DOORS,
    BIRTHDAY_CONTROLS_MISSED,
    BIRTHDAY_S,
    BIRTHDAY_SAMPLES,
    BIRTHDAY_SOCKETS,
    GUESS_ASK_S,
    GUESS_PROBE_INTERVAL_S,
    GUESS_PROBES_AT_ONCE,
    GUESS_ROUNDS,
)
from p2p.proto.path.plans.commands import TellPeer
from p2p.proto.path.plans.hint import HintKind, PortHint
from p2p.proto.path.plans.plan import Plan, PlanSetting
from p2p.proto.path.plans.predict import port_range, widened


class BirthdayPlan(Plan):
    """Opens one door after the other to the peer's mapped address, while the peer tries ports at random.

    A door is a socket of its own from which one check goes to the peer: that lets the peer in at whatever port our NAT
    gave it. The two meet when the peer tries the port of a door that is open, and as well when a new door gets a port
    that the peer has tried before, since the peer's own NAT lets in what comes from there. So doors never stop to
    open: with the last of ``BIRTHDAY_SOCKETS`` the oldest one closes, and the longer it takes, the likelier each new
    one is to meet.

        doors n, tries n:  n * n chances to meet among the ports of the range, and not 256 * n

    Which range of ports is worth trying is known when our NAT was examined before; the peer is told at once then. Else
    the first doors ask a STUN server, and its answers show it. When they name several addresses, nobody can guess which
    one a door has, and the plan ends. Now and then a later one asks, too: a port beside the range widens it; without an
    answer the NAT has no room for more, and the doors that are open are left alone.

    Args:
        setting: What to work with.
    """

    def __init__(self, setting: PlanSetting) -> None:
        super().__init__(setting)
        self._samples: deque[int] = deque()
        self._opened = 0
        self._missed = 0
        self._told: PortHint | None = None
        self._door_at: float | None = None
        self._tell_at = self._ends_at = 0.0

    def start(self, now: float) -> None:
        """Begin, once."""
        if self._setting.port_range is not None and self._setting.own is not None:
            self._tell(self._setting.own.host, widened(*self._setting.port_range), now)
            self._door_at = now
            return
        self._tell_at = now + GUESS_ASK_S + self._setting.rtt_s
        self._ends_at = self._tell_at + BIRTHDAY_S + 3 * self._setting.rtt_s
        self._samples.extend(self._open(BIRTHDAY_SAMPLES))
        for socket in self._samples:
            self._ask(socket, now)
        # The questions have used up the pace of so many guesses.
        self._door_at = now + BIRTHDAY_SAMPLES * GUESS_PROBE_INTERVAL_S

    def _open_door(self, now: float) -> None:
        assert self._door_at is not None
        self._door_at += GUESS_PROBE_INTERVAL_S
        if not self._setting.limits.packets.take(now):
            return
        if len(self._sockets) >= BIRTHDAY_SOCKETS:
            self._close(self._sockets[0])
        socket = self._samples.popleft() if self._samples else self._open(1)[0]
        self._opened += 1
        if self._opened % BIRTHDAY_CONTROL_DOORS == 0 and self._told is not None:
            self._control(socket, now)
        self._check(socket, self._setting.peer)

    def _control(self, socket: int, now: float) -> None:
        """Find out whether the NAT still gives ports to new sockets."""
        self._missed = 0 if self._questions.is_answered else self._missed + 1
        if self._missed == BIRTHDAY_CONTROLS_MISSED:
            self._door_at = None
        else:
            self._forget_questions()
            self._ask(socket, now)

    def _answered(self, now: float) -> None:
        if self._told is not None:
            self._widen(self._told, list(self._questions.answers.values()))
        elif self._questions.is_answered:
            self._judge(now)

    def _judge(self, now: float) -> None:
        """Conclude the range from the answers that have come."""
        answers = list(self._questions.answers.values())
        if not answers:
            return
        self._forget_questions()
        if len({address.host for address in answers}) > 1:
            self.end()
        else:
            self._tell(answers[0].host, port_range([address.port for address in answers]), now)

    def _tell(self, host: str, ports: tuple[int, int], now: float) -> None:
        self._told = PortHint(HintKind.RANGE, 1, host, ports)
        self._commands.append(TellPeer(self._told))
        self._ends_at = now + BIRTHDAY_S + 3 * self._setting.rtt_s

    def _widen(self, told: PortHint, answers: Sequence[TransportAddress]) -> None:
        """Correct what was told when a door turns out to be somewhere else."""
        if any(answer.host != told.host for answer in answers):
            self.end()
            return
        ports = [*told.ports, *(answer.port for answer in answers)]
        if told.round < GUESS_ROUNDS and (min(ports), max(ports)) != told.ports:
            self._told = PortHint(HintKind.RANGE, told.round + 1, told.host, widened(min(ports), max(ports)))
            self._commands.append(TellPeer(self._told))

    def _next_at(self) -> float:
        timers = [self._ends_at]
        if self._door_at is not None:
            timers.append(self._door_at)
        if self._told is None:
            timers.append(self._tell_at)
        return min(timers)

    def _advance(self, now: float) -> None:
        if self._told is None and now >= self._tell_at:
            self._judge(now)
            if self._told is None:
                # No server says where we are: then nobody can be told.
                self.end()
        if self.is_over or now >= self._ends_at:
            self.end()
            return
        for _ in range(GUESS_PROBES_AT_ONCE):
            if self._door_at is None or now < self._door_at:
                return
            self._open_door(now)
        # Later than that many: what was missed is not made up for.
        if self._door_at is not None:
            self._door_at = max(self._door_at, now)
