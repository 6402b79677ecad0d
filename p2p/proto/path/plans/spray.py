"""The easy side's part: to try the ports that the hard side tells of."""

from __future__ import annotations

from collections.abc import Callable

from p2p.address import TransportAddress
from p2p.defaults import (
    BIRTHDAY_S,
    GUESS_HINT_WAIT_S,
    GUESS_PROBE_INTERVAL_S,
    GUESS_PROBES_AT_ONCE,
    GUESS_WINDOW_PASS_S,
    GUESS_WINDOW_PASSES,
)
from p2p.proto.path.plans.commands import MAIN_SOCKET
from p2p.proto.path.plans.hint import HintKind, PortHint
from p2p.proto.path.plans.plan import Plan, PlanSetting

_PORT_BYTES = 4


class SprayPlan(Plan):
    """Sends from the one socket whose mapping is the same for everybody to ports of the hard side.

    A window is gone through a few times, one port each ``GUESS_PROBE_INTERVAL_S``; a range is tried at random at the
    same pace, no port twice. A hint of a later round takes the place of the one before.

    Args:
        setting: What to work with.
        may_spray: Asked, with the host and the time, before a range is tried: the user may not want it, or it was of
            no use a moment ago.

    Attributes:
        has_sprayed: Whether a range was tried.
    """

    def __init__(self, setting: PlanSetting, *, may_spray: Callable[[str, float], bool]) -> None:
        super().__init__(setting)
        self.has_sprayed = False
        self._may_spray = may_spray
        self._hint: PortHint | None = None
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
        if hint.kind is HintKind.NEXT:
            return
        if hint.kind is HintKind.RANGE and (self.has_sprayed or not self._may_spray(hint.host, now)):
            return
        self._hint = hint
        self._sent = self._pass = 0
        self._probe_at = self._pass_at = now
        if hint.kind is HintKind.RANGE:
            self.has_sprayed = True
            self._ends_at = now + BIRTHDAY_S
        self._advance(now)

    def _next_at(self) -> float:
        return self._ends_at if self._probe_at is None else min(self._probe_at, self._ends_at)

    def _advance(self, now: float) -> None:
        if now >= self._ends_at:
            self.end()
            return
        for _ in range(GUESS_PROBES_AT_ONCE):
            hint = self._hint
            if hint is None or self._probe_at is None or now < self._probe_at:
                return
            self._check(MAIN_SOCKET, TransportAddress(hint.host, self._next_port(hint, now)))
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
