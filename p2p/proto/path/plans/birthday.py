"""The hard side's part where its NAT gives ports at random."""

from __future__ import annotations

from p2p.defaults import (
    BIRTHDAY_BATCH,
    BIRTHDAY_REFRESH_S,
    BIRTHDAY_S,
    BIRTHDAY_SAMPLES,
    BIRTHDAY_SOCKETS,
    GUESS_ASK_S,
    GUESS_PROBE_INTERVAL_S,
)
from p2p.proto.path.plans.commands import TellPeer
from p2p.proto.path.plans.hint import HintKind, PortHint
from p2p.proto.path.plans.plan import Plan, PlanSetting
from p2p.proto.path.plans.predict import port_range


class BirthdayPlan(Plan):
    """Opens many doors to the peer's mapped address, any of which the peer may find by trying ports at random.

    The doors open ``BIRTHDAY_BATCH`` at a time; the first ones ask a STUN server too, whose answers show which range of
    ports is worth trying. Then it only waits, and goes through the doors once more before NATs close them.

    Args:
        setting: What to work with.
    """

    def __init__(self, setting: PlanSetting) -> None:
        super().__init__(setting)
        self._batch_at: float | None = None
        self._refreshed = 0
        self._has_told = False
        self._tell_at = self._refresh_at = self._ends_at = 0.0

    def start(self, now: float) -> None:
        """Begin, once."""
        self._tell_at = now + GUESS_ASK_S + self._setting.rtt_s
        self._refresh_at = now + BIRTHDAY_REFRESH_S
        self._ends_at = self._tell_at + BIRTHDAY_S + 3 * self._setting.rtt_s
        self._open_batch(now)

    def _open_batch(self, now: float) -> None:
        for socket in self._open(min(BIRTHDAY_BATCH, BIRTHDAY_SOCKETS - len(self._sockets))):
            self._check(socket, self._setting.peer)
            if len(self._questions.answers) < BIRTHDAY_SAMPLES and len(self._sockets) <= BIRTHDAY_SAMPLES:
                self._ask(socket, now)
        self._batch_at = now + GUESS_PROBE_INTERVAL_S if len(self._sockets) < BIRTHDAY_SOCKETS else None

    def _answered(self, now: float) -> None:
        if self._questions.is_answered:
            self._tell(now)

    def _tell(self, now: float) -> None:
        answers = list(self._questions.answers.values())
        if self._has_told or not answers:
            return
        self._has_told = True
        ports = port_range([address.port for address in answers])
        self._commands.append(TellPeer(PortHint(HintKind.RANGE, 1, answers[0].host, ports)))
        self._forget_questions()
        self._ends_at = now + BIRTHDAY_S + 3 * self._setting.rtt_s

    def _next_at(self) -> float:
        timers = [self._ends_at]
        if self._batch_at is not None:
            timers.append(self._batch_at)
        if not self._has_told:
            timers.append(self._tell_at)
        if self._refreshed < len(self._sockets):
            timers.append(self._refresh_at)
        return min(timers)

    def _advance(self, now: float) -> None:
        if self._batch_at is not None and now >= self._batch_at:
            self._open_batch(now)
        if not self._has_told and now >= self._tell_at:
            self._tell(now)
            if not self._has_told:
                # No server says where we are: then nobody can be told.
                self.end()
                return
        if now >= self._refresh_at and self._refreshed < len(self._sockets):
            for socket in self._sockets[self._refreshed : self._refreshed + BIRTHDAY_BATCH]:
                self._check(socket, self._setting.peer)
            self._refreshed += BIRTHDAY_BATCH
            self._refresh_at = now + GUESS_PROBE_INTERVAL_S
        if now >= self._ends_at:
            self.end()
