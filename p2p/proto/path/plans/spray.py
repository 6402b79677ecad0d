"""The easy side's part: to try the ports that the hard side tells of."""

from __future__ import annotations

from collections.abc import Callable

from p2p.address import TransportAddress
from p2p.defaults import (
    BIRTHDAY_S,
    GUESS_HINT_WAIT_S,
    GUESS_PROBE_INTERVAL_S,
    GUESS_PROBES_AT_ONCE,
    GUESS_TURN_POLL_S,
    GUESS_TURN_WAIT_S,
    GUESS_WINDOW_PASS_S,
    GUESS_WINDOW_PASSES,
)
from p2p.proto.path.plans.commands import MAIN_SOCKET, TellPeer
from p2p.proto.path.plans.hint import HintKind, PortHint
from p2p.proto.path.plans.limits import Turn
from p2p.proto.path.plans.plan import Plan, PlanSetting

_PORT_BYTES = 4


class SprayPlan(Plan):
    """Sends from the one socket whose mapping is the same for everybody to ports of the hard side.

    A window is gone through a few times, one port each ``GUESS_PROBE_INTERVAL_S``; a range is tried at random at the
    same pace, no port twice. A hint of a later round takes the place of the one before. When others have their
    birthdays now, the hard side is told to wait, and later that it is its turn.

    Args:
        setting: What to work with.
        may_spray: Asked, with the host and the time, before a range is tried: the user may not want it, it was of no
            use a moment ago, or others come first.
    """

    def __init__(self, setting: PlanSetting, *, may_spray: Callable[[str, float], Turn]) -> None:
        super().__init__(setting)
        self._has_sprayed = False
        self._may_spray = may_spray
        self._hint: PortHint | None = None
        self._waiting: PortHint | None = None
        self._ask_again_at = 0.0
        self._sent = 0
        self._pass = 0
        self._pass_at = 0.0
        self._probe_at: float | None = None
        self._ends_at = 0.0
        self._tried: set[int] = set()

    def start(self, now: float) -> None:
        """Begin, once."""
        self._ends_at = now + GUESS_HINT_WAIT_S + 4 * self._setting.rtt_s

    def receive_hint(self, hint: PortHint, now: float) -> None:
        """Try other ports from now on."""
        if self.is_over or (self._hint is not None and hint.round <= self._hint.round and hint.kind is self._hint.kind):
            return
        if hint.kind is HintKind.RANGE:
            self._range_told(hint, now)
        elif hint.kind is HintKind.WINDOW:
            self._try(hint, now)

    def _range_told(self, hint: PortHint, now: float) -> None:
        if self._waiting is not None:
            self._waiting = hint
            return
        if self._has_sprayed:
            if self._hint is not None and hint.host == self._hint.host:
                # The same doors, in a range that the hard side knows better now.
                self._hint = hint
            return
        turn = self._may_spray(hint.host, now)
        if turn is Turn.GRANTED:
            self._spray(hint, now)
        elif turn is Turn.WAIT:
            self._waiting = hint
            self._ask_again_at = now + GUESS_TURN_POLL_S
            self._ends_at = now + GUESS_TURN_WAIT_S
            self._tell_turn(HintKind.WAIT, hint)

    def _wait(self, hint: PortHint, now: float) -> None:
        if now < self._ask_again_at:
            return
        self._ask_again_at = now + GUESS_TURN_POLL_S
        turn = self._may_spray(hint.host, now)
        if turn is Turn.WAIT:
            return
        self._waiting = None
        if turn is Turn.REFUSED:
            self.end()
            return
        self._tell_turn(HintKind.TURN, hint)
        self._spray(hint, now)

    def _tell_turn(self, kind: HintKind, hint: PortHint) -> None:
        own = self._setting.own
        if own is not None:
            self._commands.append(TellPeer(PortHint(kind, hint.round, own.host, hint.ports)))

    def _spray(self, hint: PortHint, now: float) -> None:
        self._has_sprayed = True
        self._ends_at = now + BIRTHDAY_S
        self._try(hint, now)

    def _try(self, hint: PortHint, now: float) -> None:
        self._hint = hint
        self._sent = self._pass = 0
        self._probe_at = self._pass_at = now
        self._advance(now)

    def _next_at(self) -> float:
        timers = [self._ends_at]
        if self._probe_at is not None:
            timers.append(self._probe_at)
        if self._waiting is not None:
            timers.append(self._ask_again_at)
        return min(timers)

    def _advance(self, now: float) -> None:
        if now >= self._ends_at:
            self.end()
            return
        if self._waiting is not None:
            self._wait(self._waiting, now)
        for _ in range(GUESS_PROBES_AT_ONCE):
            hint = self._hint
            if hint is None or self._probe_at is None or now < self._probe_at:
                return
            if self._setting.limits.packets.take(now):
                self._check(MAIN_SOCKET, TransportAddress(hint.host, self._next_port(hint, now)))
            else:
                self._probe_at += GUESS_PROBE_INTERVAL_S
        # Later than that many: what was missed is not made up for.
        if self._probe_at is not None:
            self._probe_at = max(self._probe_at, now)

    def _next_port(self, hint: PortHint, now: float) -> int:
        assert self._probe_at is not None
        self._probe_at += GUESS_PROBE_INTERVAL_S
        if hint.kind is HintKind.RANGE:
            return self._random_port(*hint.ports)
        port = hint.ports[self._sent]
        self._sent += 1
        if self._sent == len(hint.ports):
            self._sent = 0
            self._pass += 1
            self._pass_at += GUESS_WINDOW_PASS_S
            self._probe_at = max(self._probe_at, self._pass_at)
            if self._pass == GUESS_WINDOW_PASSES:
                # The hard side starts another round, or gives up.
                self._probe_at = None
                self._ends_at = now + GUESS_HINT_WAIT_S + 4 * self._setting.rtt_s
        return port

    def _random_port(self, first: int, last: int) -> int:
        width = last - first + 1
        if len(self._tried) >= width:
            self._tried.clear()
        port = first + int.from_bytes(self._setting.random_bytes(_PORT_BYTES), "big") % width
        while port in self._tried:
            port = first + (port + 1 - first) % width
        self._tried.add(port)
        return port
