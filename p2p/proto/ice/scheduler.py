"""Which pair is checked when."""

from __future__ import annotations

from p2p import defaults
from p2p.proto.ice.checklist import CheckList
from p2p.proto.ice.pair import CandidatePair, CheckSeries, PairState


class CheckScheduler:
    """Paces the checks of one agent: one a slot, over all pairs.

    A slot goes to a triggered check first, then to the untried pair of the highest priority, then to the pair
    whose next attempt is longest due.

    Args:
        controlling: Our role.

    Attributes:
        pairs: The check list.
        controlling: Our role, on which the priorities of pairs depend.

    Source: RFC 8445 sections 6.1.4.2 and 14.
    """

    def __init__(self, *, controlling: bool) -> None:
        self.controlling = controlling
        self.pairs = CheckList()
        self._active: set[CandidatePair] = set()
        self._slot_at = 0.0

    def recheck(self, pair: CandidatePair) -> None:
        """Try a pair from the start of its schedule, when its turn comes."""
        self.end(pair)
        pair.state = PairState.WAITING

    def start_nomination(self, pair: CandidatePair, now: float) -> None:
        """Send USE-CANDIDATE on a valid pair, until it is answered."""
        pair.series = CheckSeries(now + defaults.ICE_CHECK_DURATION_S, now, nominate=True)
        self._active.add(pair)

    def end(self, pair: CandidatePair) -> None:
        """Stop the attempts on a pair: it was answered, or failed, or is gone."""
        pair.series = None
        self._active.discard(pair)

    def remove(self, pair: CandidatePair) -> None:
        """Take a pair out of everything."""
        self.end(pair)
        self.pairs.remove(pair)

    def expired(self, now: float) -> list[CandidatePair]:
        """Return the pairs whose time is over."""
        return [pair for pair in self._active if pair.series is not None and now >= pair.series.ends_at]

    def take_slot(self, now: float) -> CandidatePair | None:
        """Pick the pair to send an attempt on now, and book its next one.

        Args:
            now: The monotonic time.

        Returns:
            The pair, its ``series`` telling whether to nominate; None when no slot is free or nothing is due.
        """
        if now < self._slot_at:
            return None
        pair = self._pick(now)
        if pair is None:
            return None
        self._slot_at = now + defaults.ICE_PACING_S
        if pair.series is None:
            pair.series = CheckSeries(now + pair.duration_s, now)
            self._active.add(pair)
        if pair.state is not PairState.SUCCEEDED:
            pair.state = PairState.IN_PROGRESS
        series = pair.series
        spacing = defaults.ICE_CHECK_SPACING_S
        series.next_at = min(now + spacing[min(series.sent, len(spacing) - 1)], series.ends_at)
        series.sent += 1
        return pair

    def get_timer(self) -> float | None:
        """When ``take_slot`` or ``expired`` has something to give next; in the past when it is now."""
        if self.pairs.has_triggered() or self.pairs.has_waiting():
            return self._slot_at
        due_at = min((pair.series.next_at for pair in self._active if pair.series is not None), default=None)
        return None if due_at is None else max(due_at, self._slot_at)

    def is_idle(self) -> bool:
        """Whether no pair waits or is being tried; nominations do not count."""
        busy = any(pair.state is not PairState.SUCCEEDED for pair in self._active)
        return not (busy or self.pairs.has_triggered() or self.pairs.has_waiting())

    def _pick(self, now: float) -> CandidatePair | None:
        while (triggered := self.pairs.next_triggered()) is not None:
            if triggered.state is not PairState.SUCCEEDED:
                return triggered
        waiting = self.pairs.best_waiting(controlling=self.controlling)
        if waiting is not None:
            return waiting
        due = [pair for pair in self._active if pair.series is not None and pair.series.next_at <= now]
        return min(due, key=lambda pair: pair.series.next_at if pair.series is not None else now, default=None)
